"""`mema deid`: every face of a photo becomes nobody's; what brings it back is sealed beside it."""

import hashlib
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mema.hospital.audit.trail import Trail
from mema.hospital.contents import FILE_ID_BYTES, Contents, pack, unpack
from mema.hospital.outcome import why_failed
from mema.hospital.places import Job, sidecar_of
from mema.hospital.private import MAX_BYTES, read_regular, write_private
from mema.hospital.report import Account, Report
from mema.hospital.settings import Eyes, Network, Settings
from mema.hospital.sidecar import Keys, new_keys, open_sealed, seal
from models.concealing.checked import Checked, conceal_and_look
from models.concealing.hiding import plan_faces
from models.concealing.passwords import Passphrase
from models.concealing.pictures import face_passwords
from models.images import encode_png, image_id
from models.photos.decoding import decode_photo, read_photo
from models.photos.duplicates import thumbnail
from models.photos.rejection import Rejection


@dataclass(frozen=True)
class Deid:
    """De-identifies one photo after another under one passphrase; None, as in a rehearsal, makes no picture."""

    settings: Settings
    network: Network
    eyes: Eyes
    passphrase: Passphrase | None
    keep_original: bool
    trail: Trail
    report: Report
    expect_faces: int | None = None

    def __call__(self, job: Job) -> int | None:
        """Write the side-car, then the picture; return the number of faces, None if that was done before."""
        account = Account(job.name)
        start = time.perf_counter()
        try:
            return self._attempt(job, account)
        except Exception as error:
            account.reason, account.detail = why_failed(error) or (type(error).__name__, "ended the run")
            raise
        finally:
            account.seconds = time.perf_counter() - start
            self.report.add(account)

    def _attempt(self, job: Job, account: Account) -> int | None:
        data = read_photo(job.source, self.settings.limits.max_bytes)
        prior = self._prior(job, hashlib.sha256(data).hexdigest())
        if prior and os.path.lexists(job.out):
            _refuse_changed(read_regular(job.out, MAX_BYTES, "the picture"), prior[0])
            if self.network.knows_all_it_takes:  # an earlier run may have been a rehearsal
                self.network.refuse_unknown(decode_photo(data, self.settings.limits)[0])
            self._expect(prior[0].num_faces or self.expect_faces)  # 0: an earlier version didn't note it
            account.done_before = True
            return None
        rgb, _ = decode_photo(data, self.settings.limits)
        self._find(rgb, account)
        if self.passphrase is None:
            return len(account.faces)
        contents, keys, picture = self._replace(rgb, data, job.source.name, prior, account)
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
        return len(account.faces)

    def _find(self, rgb: np.ndarray, account: Account) -> None:
        """Note the faces and what is to become of them; raises Rejection where that can't or mustn't be done."""
        account.see(rgb)
        account.smallest_seen_px = self.eyes.seeker.smallest(rgb.shape)
        account.faces = self.eyes.faces(rgb)
        self.network.refuse_unknown(rgb)
        if not account.faces:
            raise Rejection("no_face", f"none of {account.smallest_seen_px:.0f} px or more was found")
        account.plan = plan_faces(
            account.faces, rgb.shape, self.network.image_size_px, self.eyes.first(rgb, self.network.image_size_px)
        )
        if account.plan.doubtful and self.settings.doubtful_faces == "refuse":
            turned = any(face.turned for face in account.plan.doubtful)
            raise Rejection(
                "turned_face" if turned else "doubtful_face",
                f"the eyes of {len(account.plan.doubtful)} can't be placed with certainty; turn or crop the photo, or "
                "set deid_files.doubtful_faces to hide",
            )
        self._expect(len(account.faces))

    def _expect(self, num_faces: int | None) -> None:
        if self.expect_faces not in (None, num_faces):
            raise Rejection("unexpected_faces", f"{num_faces} found, --expect-faces {self.expect_faces}")

    def _check(self, checked: Checked, account: Account) -> None:
        """Raise Rejection where a face stays on the result, or one that was replaced is still recognised."""
        found, judge = checked.finding, self.eyes.judge
        account.faces, account.plan = checked.faces, checked.plan
        account.similarities, account.left = found.similarities, found.left
        account.see_result(checked.concealed.picture)
        self._expect(len(account.faces))
        if found.left:
            raise Rejection("face_left", f"{len(found.left)} places show a face that is as it was")
        if found.likest >= judge.threshold:
            raise Rejection(
                "still_recognisable",
                f"similarity {found.likest:.3f}, under {judge.threshold} wanted; the method doesn't hide this person",
            )

    def _prior(self, job: Job, source_sha256: str) -> tuple[Contents, Keys] | None:
        """Return what an earlier run sealed for this photo; raises Rejection where it was another photo.

        A side-car is never replaced: its picture may be in use elsewhere, and nothing else brings it back.
        """
        sidecar = sidecar_of(job.out)
        if not os.path.lexists(sidecar):
            if os.path.lexists(job.out):
                raise Rejection("out_exists", "it has no side-car, so it isn't ours; move it away")
            return None
        if self.passphrase is None:
            raise Rejection("sidecar_there", "an earlier run sealed it, and a dry run doesn't open that")
        sealed, keys = open_sealed(read_regular(sidecar, MAX_BYTES, "the side-car"), self.passphrase)
        contents = unpack(sealed)
        if contents.source_sha256 != source_sha256:
            detail = "it was made from another photo, or from one whose name differs in case alone; name another OUT"
            raise Rejection("out_exists", detail)
        return contents, keys

    def _replace(
        self, rgb: np.ndarray, data: bytes, name: str, prior: tuple[Contents, Keys] | None, account: Account
    ) -> tuple[Contents, Keys, bytes]:
        """Return what to seal, under which keys, and the picture's file; a prior run's id gives its picture."""
        model = self.network.deidentifier
        assert self.passphrase is not None
        keys = prior[1] if prior else new_keys(self.passphrase)
        file_id = prior[0].file_id if prior else os.urandom(FILE_ID_BYTES)
        checked = conceal_and_look(
            rgb, account.faces, model, partial(face_passwords, keys.password_root, file_id),
            self.eyes.seeker, self.eyes.judge, self.eyes.first(rgb, model.image_size_px),
            hide_missed=self.settings.doubtful_faces == "hide",
        )  # fmt: skip
        self._check(checked, account)
        concealed, plan = checked.concealed, checked.plan
        picture = encode_png(concealed.picture)
        contents = Contents(
            features=concealed.features,
            matrices=np.array([place.matrix for place in plan.places], float).reshape(-1, 2, 3),
            crop_px=model.image_size_px,
            picture_shape=(rgb.shape[0], rgb.shape[1]),
            picture_sha256=hashlib.sha256(picture).hexdigest(),
            pixels_sha256=image_id(concealed.picture),
            source_sha256=hashlib.sha256(data).hexdigest(),
            model_sha256=self.network.sha256,
            file_id=file_id,
            band=concealed.band,
            band_corner=concealed.band_corner,
            thumbnail=thumbnail(concealed.picture).tobytes(),
            original=data if self.keep_original else None,
            original_suffix=Path(name).suffix.lower() if self.keep_original else "",
            source_name=name,
            num_faces=len(account.faces),
            **self.trail.binding,
        )
        return contents, keys, picture


def _refuse_changed(picture: bytes, contents: Contents) -> None:
    """Raise Rejection unless the file in OUT is the one that was looked at: it could be the photo itself."""
    if hashlib.sha256(picture).hexdigest() != contents.picture_sha256:
        raise Rejection(
            "picture_changed",
            "OUT holds another file than was written; move that away, and the same command makes it anew",
        )


def _maker(contents: Contents) -> tuple[str, str]:
    return contents.picture_sha256, contents.model_sha256
