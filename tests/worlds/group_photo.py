"""The photograph of several people that insightface ships, who is seen in it, and a judge by mean colours."""

import numpy as np
from insightface.data import get_image

from models.photos.alignment import crop_by_eyes
from models.photos.detectors import Hog
from models.photos.every_face import Face, Seeker

SEEKER = Seeker((Hog(0.2),), 80)


def group_photo() -> np.ndarray:
    """Return the part with the people."""
    return np.ascontiguousarray(np.asarray(get_image("t1"))[80:480, 40:760, ::-1])


def faces_of(group: np.ndarray) -> list[Face]:
    """Return the faces, two at least."""
    found = SEEKER.faces(group)
    assert len(found) >= 2
    return found


class Mean:
    """Knows a picture by its mean colours in a grid."""

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        """Return a row a picture."""
        rows = np.array([image[::16, ::16].reshape(-1) for image in images], np.float32) - 128
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-6)

    def embed_at(self, pictures: list[np.ndarray], eyes: list[np.ndarray]) -> np.ndarray:
        """Return a row a picture, of the face at these eyes."""
        return self.embed([crop_by_eyes(rgb, at, 160).image for rgb, at in zip(pictures, eyes, strict=True)])
