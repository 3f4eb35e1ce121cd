"""Faces of photographs in the common frame, of those photos whose eyes can be placed."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from models.photos.alignment import Aligned
from models.photos.rejection import Rejection


def aligned_faces(photos: Iterable[Path], align: Callable[[np.ndarray], Aligned]) -> list[np.ndarray]:
    """Return the faces; a photo in profile has none."""
    faces = []
    for path in photos:
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        assert photo is not None
        with suppress(Rejection):
            faces.append(align(photo).image)
    return faces
