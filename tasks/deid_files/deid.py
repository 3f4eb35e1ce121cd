"""`mema deid`: every face of a photo becomes nobody's; what brings it back is sealed beside it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.deid.contents import FILE_ID_BYTES, Contents, pack, unpack
from models.deid.passwords import Passphrase
from models.deid.pictures import conceal, face_passwords
from models.deid.sidecar import Keys, new_keys, open_sealed, seal
from models.diffusion.images import encode_png
from models.photos.decoding import decode_photo
from models.photos.rejection import Rejection
from tasks import schemas
from tasks.deid_files.places import Job, sidecar_of
from tasks.deid_files.private import MAX_BYTES, read_regular, write_private
from tasks.deid_files.settings import Finder, Network, Settings
from tasks.deid_files.trail import Trail
from tasks.ingest import read_photo


@dataclass(frozen=True)
class Deid:
    """De-identifies one photo after another under one passphrase."""

    settings: Settings
    network: Network
    find: Finder
    passphrase: Passphrase
    keep_original: bool
    trail: Trail

    def __call__(self, job: Job) -> int | None:
        """Write the side-car, then the picture; return the number of faces, None if that was done before."""
        data = read_photo(job.source, self.settings.limits.max_bytes)
        prior = self._prior(job, hashlib.sha256(data).hexdigest())
        if prior and os.path.lexists(job.out):
            return None
        rgb, _ = decode_photo(data, self.settings.limits)
        contents, keys, picture = self._replace(rgb, data, job.source.name, prior)
        if prior is None:
            sealed = seal(pack(contents), keys, self.passphrase)
            write_private(sidecar_of(job.out), sealed, job.root)
        elif _maker(contents) != _maker(prior[0]):
            raise Rejection(
                "sidecar_without_picture",
                "it belongs to a picture made otherwise (model, detector); put that back, or move the side-car",
            )
        self.trail.record("deid", contents.picture_sha256)
        write_private(job.out, picture, job.root)
        return len(contents.matrices)

    def _prior(self, job: Job, source_sha256: str) -> tuple[Contents, Keys] | None:
        """Return what an earlier run sealed for this photo; raises Rejection where it was another photo.

        A side-car is never replaced: its picture may be in use elsewhere, and nothing else brings it back.
        """
        sidecar = sidecar_of(job.out)
        if not os.path.lexists(sidecar):
            if os.path.lexists(job.out):
                raise Rejection("out_exists", "it has no side-car, so it isn't ours; move it away")
            return None
        sealed, keys = open_sealed(read_regular(sidecar, MAX_BYTES, "the side-car"), self.passphrase)
        contents = unpack(sealed)
        if contents.source_sha256 != source_sha256:
            detail = "it was made from another photo, or from one whose name differs in case alone; name another OUT"
            raise Rejection("out_exists", detail)
        return contents, keys

    def _replace(
        self, rgb: np.ndarray, data: bytes, name: str, prior: tuple[Contents, Keys] | None
    ) -> tuple[Contents, Keys, bytes]:
        """Return what to seal, under which keys, and the picture's file; a prior run's id gives its picture."""
        model = self.network.deidentifier
        places = self.find(rgb, model.image_size_px)
        keys = prior[1] if prior else new_keys(self.passphrase)
        file_id = prior[0].file_id if prior else os.urandom(FILE_ID_BYTES)
        passwords = face_passwords(keys.password_root, file_id, len(places))
        concealed = conceal(rgb, places, model, passwords)
        picture = encode_png(concealed.picture)
        contents = Contents(
            features=concealed.features,
            matrices=np.stack([place.matrix for place in places]),
            crop_px=model.image_size_px,
            picture_shape=(rgb.shape[0], rgb.shape[1]),
            picture_sha256=hashlib.sha256(picture).hexdigest(),
            pixels_sha256=schemas.image_id(concealed.picture),
            source_sha256=hashlib.sha256(data).hexdigest(),
            model_sha256=self.network.sha256,
            file_id=file_id,
            band=concealed.band,
            band_corner=concealed.band_corner,
            original=data if self.keep_original else None,
            original_suffix=Path(name).suffix.lower() if self.keep_original else "",
            source_name=name,
            **self.trail.binding,
        )
        return contents, keys, picture


def _maker(contents: Contents) -> tuple[str, str]:
    return contents.picture_sha256, contents.model_sha256
