"""The mean of the training faces that look most alike."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from models.methods.method import Images, Irreversible, Passwords, Sources

COMPARED_PX = 32  # side at which similar faces are looked for


class KSameMean(Irreversible):
    """The mean of the k training faces that look most like the one given (after Newton et al. 2005, k-Same).

    k-Same averages k people of the set that is released; here the k come from the training split, whose donors
    are nobody in the set released, so no pixel of the given face goes into the result and its choice of
    neighbours alone tells about it.
    """

    needs = frozenset({"faces"})

    @classmethod
    def make(cls, sources: Sources, **options: Any) -> "KSameMean":
        """Average the training split."""
        return cls(sources.faces(), **options)

    def __init__(self, faces: UInt8[np.ndarray, "m s s 3"], k: int = 10) -> None:
        if not 1 <= k <= len(faces):
            raise ValueError(f"k_same.k: {k} of {len(faces)} training faces; allowed: 1 to {len(faces)}")
        self._faces, self._k = faces, k
        self._compared = _compared(faces)

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return one mean face per image, rounded; of equally similar faces the first in the set are taken."""
        if images.shape[1:] != self._faces.shape[1:]:
            raise ValueError(f"k_same: images of {images.shape[1:]} and training faces of {self._faces.shape[1:]}")
        chosen = self.neighbours(images)
        means = [self._faces[rows].astype(np.float64).mean(0) for rows in chosen]
        return np.round(np.stack(means)).astype(np.uint8) if means else images.copy(), None

    def neighbours(self, images: Images) -> Int[np.ndarray, "n k"]:
        """Return the rows of the k training faces nearest to each image, by grey values at 32 px."""
        # One image at a time, so that its distances do not depend on its neighbours in the batch.
        distances = [np.square(self._compared - face).sum(1) for face in _compared(images)]
        rows = [np.argsort(distance, kind="stable")[: self._k] for distance in distances]
        return np.array(rows, np.int64).reshape(len(images), self._k)


def _compared(images: np.ndarray) -> Float[np.ndarray, "n p"]:
    small = [
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (COMPARED_PX, COMPARED_PX), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    return np.array(small, np.float64).reshape(len(images), COMPARED_PX**2)


METHOD = KSameMean
