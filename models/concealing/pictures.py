"""The faces of a picture concealed and revealed, with the pixels around them as they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Float, Float16, Float32, UInt8

from models.concealing.hiding import Box, hidden_mask, hide
from models.concealing.passwords import PASSWORD_DIM, password_vector
from models.concealing.reinsertion import Placement, fading, put_back, take_face


class FaceCipher(Protocol):
    """What of models.deid.deidentifier.Deidentifier is used here, without torch."""

    image_size_px: int

    def encrypt(
        self, images: UInt8[np.ndarray, "n s s 3"], passwords: Float[np.ndarray, "n d"]
    ) -> tuple[UInt8[np.ndarray, "n s s 3"], Float16[np.ndarray, "n c h w"]]:
        """Return faces of nobody, and f_enc."""
        ...

    def decrypt(
        self, features: Float16[np.ndarray, "n c h w"], passwords: Float[np.ndarray, "n d"]
    ) -> UInt8[np.ndarray, "n s s 3"]:
        """Return the faces again."""
        ...


@dataclass(frozen=True)
class Concealed:
    """A picture of nobody, and what brings its faces back; `band` as in mema.hospital.contents."""

    picture: UInt8[np.ndarray, "h w 3"]
    features: Float16[np.ndarray, "n c h w"]
    band: bytes
    band_corner: tuple[int, int]


def face_passwords(root: bytes, file_id: bytes, num_faces: int) -> Float32[np.ndarray, "n 512"]:
    """Return P of each face: two faces of one picture have two passwords."""
    rows = [password_vector(root, file_id + face.to_bytes(4, "big")) for face in range(num_faces)]
    return np.array(rows, np.float32).reshape(num_faces, PASSWORD_DIM)


def conceal(
    rgb: UInt8[np.ndarray, "h w 3"],
    places: Sequence[Placement],
    cipher: FaceCipher,
    passwords: Float32[np.ndarray, "n d"],
    hidden: Sequence[Box] = (),
) -> Concealed:
    """Replace each face, and cover what is to be hidden; all faces are taken from the picture as it came."""
    size = places[0].size_px if places else cipher.image_size_px
    taken = [take_face(rgb, place) for place in places]
    faces, features = cipher.encrypt(np.array(taken, np.uint8).reshape(-1, size, size, 3), passwords)
    picture = rgb
    for face, place in zip(faces, places, strict=True):
        picture = put_back(picture, face, place)
    return Concealed(hide(picture, hidden), features, *_cut_band(rgb, places, hidden))


def reveal(
    picture: UInt8[np.ndarray, "h w 3"],
    places: Sequence[Placement],
    concealed: Concealed,
    cipher: FaceCipher,
    passwords: Float32[np.ndarray, "n d"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the photo: the band's own pixels, and within them the network's reconstruction.

    `picture` is the concealed one as it is found now; that of `concealed` is not looked at.
    """
    photo = picture.copy()
    if concealed.band:
        band = cv2.imdecode(np.frombuffer(concealed.band, np.uint8), cv2.IMREAD_UNCHANGED)
        assert band is not None
        top, left = concealed.band_corner
        window = photo[top : top + band.shape[0], left : left + band.shape[1]]
        window[...] = np.where(band[..., 3:] > 0, band[..., 2::-1], window)
    for face, place in zip(cipher.decrypt(concealed.features, passwords), places, strict=True):
        photo = put_back(photo, face, place)
    return photo


def _cut_band(rgb: np.ndarray, places: Sequence[Placement], hidden: Sequence[Box]) -> tuple[bytes, tuple[int, int]]:
    """Return the pixels that are partly kept or hidden, as a PNG of their bounding box, and its corner."""
    band = fading(places, rgb.shape) | hidden_mask(hidden, rgb.shape)
    rows, columns = np.flatnonzero(band.any(axis=1)), np.flatnonzero(band.any(axis=0))
    if not rows.size:
        return b"", (0, 0)
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = band[window]
    pixels = np.dstack([rgb[window][..., ::-1] * inside[..., None], inside * np.uint8(255)])
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return data.tobytes(), (int(rows[0]), int(columns[0]))
