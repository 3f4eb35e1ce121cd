"""`mema restore`: a de-identified picture becomes the photo again, and the log says who wanted it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mema.hospital.audit.trail import Trail
from mema.hospital.contents import Contents, unpack
from mema.hospital.places import LOST_PICTURE, LOST_SIDECAR, Job, photo_name, sidecar_of
from mema.hospital.private import MAX_BYTES, read_regular, write_private
from mema.hospital.settings import Network
from mema.hospital.sidecar import Keys, open_sealed
from models.concealing.passwords import Passphrase
from models.concealing.pictures import Concealed, face_passwords, reveal
from models.concealing.reinsertion import Placement
from models.images import decode, encode_png, image_id
from models.photos.duplicates import THUMBNAIL_PX, edited_from, thumbnail
from models.photos.rejection import Rejection


@dataclass(frozen=True)
class Restore:
    """Restores one picture after another under one passphrase; each is logged before it is written."""

    network: Network
    passphrase: Passphrase
    trail: Trail
    exact: bool = False
    allow_changed: bool = False
    one: bool = False  # a single file's ORIGINAL must not exist; a folder's may, if it is the same

    def __call__(self, job: Job) -> int | None:
        """Write the photo; return the number of faces, None if it was there before."""
        sidecar = sidecar_of(job.source)
        if not os.path.lexists(sidecar):
            raise Rejection(*LOST_SIDECAR)
        if not os.path.lexists(job.source):
            raise Rejection(*LOST_PICTURE)
        data = read_regular(job.source, MAX_BYTES, "the picture")
        sealed, keys = open_sealed(read_regular(sidecar, MAX_BYTES, "the side-car"), self.passphrase)
        contents = unpack(sealed)
        trail = self.trail.under(contents)
        try:
            return self._give(job, data, contents, keys, trail)
        except Rejection as rejection:
            bound = Trail(trail.logs[1:], trail.why)  # the first log gets its line from the run
            bound.refused("restore", contents.picture_sha256, rejection.reason)
            raise

    def _give(self, job: Job, data: bytes, contents: Contents, keys: Keys, trail: Trail) -> int | None:
        out = self._out(job, contents)
        if self.one and os.path.lexists(out):
            raise Rejection("out_exists", "nothing is overwritten; name another ORIGINAL")
        picture = self._checked_pixels(data, contents)
        photo = self._original(contents, out) if self.exact else self._revealed(picture, contents, keys)
        if os.path.lexists(out):
            if read_regular(out, MAX_BYTES, "ORIGINAL") == photo:
                return None
            raise Rejection("out_exists", "it isn't what would be written; nothing is overwritten, move it away")
        trail.record("restore_exact" if self.exact else "restore", contents.picture_sha256)
        write_private(out, photo, job.root)
        return len(contents.matrices)

    def _out(self, job: Job, contents: Contents) -> Path:
        """Return where the photo goes; the person who named a single ORIGINAL chose its name."""
        if not self.exact or (self.one and job.out.name != job.source.name):
            return job.out
        name = photo_name(job.source.name, contents.source_name, contents.original_suffix)
        return job.out.with_name(name)

    def _original(self, contents: Contents, out: Path) -> bytes:
        if contents.original is None:
            raise Rejection("no_original", "it was de-identified without --keep-original; leave out --exact")
        if out.suffix.lower() != contents.original_suffix:
            raise Rejection("wrong_suffix", f"the original is a {contents.original_suffix} file; name it so")
        assert hashlib.sha256(contents.original).hexdigest() == contents.source_sha256
        return contents.original

    def _revealed(self, picture: np.ndarray, contents: Contents, keys: Keys) -> bytes:
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

    def _checked_pixels(self, data: bytes, contents: Contents) -> np.ndarray:
        """Return the picture's pixels; raises Rejection where they are not those that were written."""
        try:
            picture = decode(data)
        except ValueError:
            raise Rejection("picture_changed", "it is no readable picture any more") from None
        digest = hashlib.sha256(data).hexdigest()
        same = digest == contents.picture_sha256 or image_id(picture) == contents.pixels_sha256
        # The sealed file shows what this picture showed only where the picture is the one that was written.
        edited = self.allow_changed and not self.exact and picture.shape[:2] == contents.picture_shape
        if edited and not same and not _edited(picture, contents):
            raise Rejection("another_picture", "it isn't the picture of this side-car with marks on it; find that")
        if same or edited:
            return picture
        raise Rejection(
            "picture_changed",
            f"its pixels are not those that were written (sha256 {contents.picture_sha256[:12]}, now "
            f"{digest[:12]}); --allow-changed restores the faces on it all the same, if its size is unchanged, but not "
            "with --exact",
        )


def _edited(picture: np.ndarray, contents: Contents) -> bool:
    """Say whether a picture still looks like the one that was written; earlier versions did not note how it looked."""
    if not contents.thumbnail:
        return True
    before = np.frombuffer(contents.thumbnail, np.uint8).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
    return edited_from(thumbnail(picture), before)
