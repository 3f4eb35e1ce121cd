"""Aligned faces in a recogniser's frame."""

import cv2
import numpy as np
import pytest

from models.identity.chip import DLIB_EYES, INSIGHTFACE_EYES, chip
from models.photos.alignment import LEFT_EYE, RIGHT_EYE


@pytest.mark.parametrize(("eyes", "size"), [(INSIGHTFACE_EYES, 112), (INSIGHTFACE_EYES, 128), (DLIB_EYES, 150)])
def test_the_eyes_come_to_where_the_network_wants_them(eyes: np.ndarray, size: int) -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    for x, y in (LEFT_EYE, RIGHT_EYE):
        cv2.circle(image, (round(x * 96 - 0.5), round(y * 96 - 0.5)), 3, (255, 255, 255), -1)
    rows, columns = np.nonzero(chip(image, eyes, size)[..., 0] > 128)
    near = rows < size * 0.6  # mirrored borders may hold a second pair below
    rows, columns = rows[near], columns[near]
    for half, eye in ((columns < size / 2, eyes[0]), (columns > size / 2, eyes[1])):
        found = (columns[half].mean() + 0.5, rows[half].mean() + 0.5)
        np.testing.assert_allclose(found, eye * size, atol=1)
