"""`mema restore`: a de-identified picture becomes the photo again, and the log says who wanted it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.deid import audit
from models.deid.contents import Contents, unpack
from models.deid.passwords import Passphrase
from models.deid.pictures import Concealed, face_passwords, reveal
from models.deid.sidecar import Keys, SidecarError, open_sealed
from models.diffusion.images import decode, encode_png
from models.photos.reinsertion import Placement
from models.photos.rejection import Rejection
from tasks import schemas
from tasks.deid_files.places import Job, sidecar_of, write_new
from tasks.deid_files.settings import Network
from tasks.ingest import read_photo

MAX_BYTES = 1 << 31


@dataclass(frozen=True)
class Restore:
    """Restores one picture after another under one passphrase; each is logged before it is written."""

    network: Network
    passphrase: Passphrase
    audit_log: Path
    why: str
    exact: bool = False
    allow_changed: bool = False
    one: bool = False  # a single file's ORIGINAL must not exist; a folder's are skipped when they do

    def __call__(self, job: Job) -> int | None:
        """Write the photo; return the number of faces, None if it was there before."""
        data = read_photo(job.source, MAX_BYTES)
        sidecar = sidecar_of(job.source)
        if not sidecar.is_file():
            raise Rejection("no_sidecar", f"there is no {sidecar.name} beside the picture")
        digest = hashlib.sha256(data).hexdigest()
        try:
            sealed, keys = open_sealed(sidecar.read_bytes(), self.passphrase)
        except SidecarError:
            audit.append(self.audit_log, "restore_refused", digest, self.why)
            raise
        contents = unpack(sealed)
        out = job.out.with_suffix(contents.original_suffix) if self.exact and not self.one else job.out
        if out.exists():
            if self.one:
                raise Rejection("out_exists", "nothing is overwritten; name another ORIGINAL")
            return None
        photo = self._original(contents, out) if self.exact else self._revealed(data, digest, contents, keys)
        audit.append(self.audit_log, "restore_exact" if self.exact else "restore", digest, self.why)
        write_new(out, photo)
        return len(contents.matrices)

    def _original(self, contents: Contents, out: Path) -> bytes:
        if contents.original is None:
            raise Rejection("no_original", "it was de-identified without --keep-original; leave out --exact")
        if out.suffix.lower() != contents.original_suffix:
            raise Rejection("wrong_suffix", f"the original is a {contents.original_suffix} file; name it so")
        assert hashlib.sha256(contents.original).hexdigest() == contents.source_sha256
        return contents.original

    def _revealed(self, data: bytes, digest: str, contents: Contents, keys: Keys) -> bytes:
        picture = self._checked_pixels(data, digest, contents)
        if contents.model_sha256 != self.network.sha256:
            raise Rejection(
                "other_model",
                f"it was made by the model {contents.model_sha256[:12]}, {self.network.folder} is "
                f"{self.network.sha256[:12]}; name the right folder with --model",
            )
        places = [Placement(matrix, contents.crop_px) for matrix in contents.matrices]
        passwords = face_passwords(keys.password_root, contents.file_id, len(places))
        concealed = Concealed(picture, contents.features, contents.band, contents.band_corner)
        return encode_png(reveal(picture, places, concealed, self.network.deidentifier, passwords))

    def _checked_pixels(self, data: bytes, digest: str, contents: Contents) -> np.ndarray:
        """Return the picture's pixels; raises Rejection where they are not those that were written."""
        try:
            picture = decode(data)
        except ValueError:
            raise Rejection("picture_changed", "it is no readable picture any more") from None
        same = digest == contents.picture_sha256 or schemas.image_id(picture) == contents.pixels_sha256
        if same or (self.allow_changed and picture.shape[:2] == contents.picture_shape):
            return picture
        raise Rejection(
            "picture_changed",
            f"its pixels are not those that were written (sha256 {contents.picture_sha256[:12]}, now "
            f"{digest[:12]}); --allow-changed restores the faces on it all the same, if its size is unchanged",
        )
