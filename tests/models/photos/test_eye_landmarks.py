"""From 68 points to eyes that can wear a sign."""

import numpy as np
import pytest

from models.photos.eye_landmarks import DENSE, IRIS_SHARE, eyes_of_points, find_eyes


def face() -> np.ndarray:
    """Return 68 points of which those of the eyes and brows lie where a face has them."""
    points = np.zeros((68, 2), np.float32)
    for start, left in ((36, 30), (42, 80)):
        points[start : start + 6] = [
            (left, 50), (left + 8, 46), (left + 20, 46), (left + 28, 50), (left + 20, 54), (left + 8, 54),
        ]  # fmt: skip
    points[17:22] = [(25 + 8 * i, 38) for i in range(5)]
    points[22:27] = [(75 + 8 * i, 38) for i in range(5)]
    return points


def test_margins_run_from_the_viewers_left_corner_through_the_points() -> None:
    eye = eyes_of_points(face()).left
    assert len(eye.upper) == len(eye.lower) == DENSE
    np.testing.assert_allclose(eye.upper[[0, -1]], [(30, 50), (58, 50)], atol=1e-3)
    np.testing.assert_allclose(eye.lower[[0, -1]], eye.upper[[0, -1]], atol=1e-3)
    assert (np.diff(eye.upper[:, 0]) > 0).all()
    assert eye.upper[:, 1].min() < 46.1
    assert eye.lower[:, 1].max() > 53.9


def test_the_iris_lies_in_the_middle_of_the_opening() -> None:
    eyes = eyes_of_points(face())
    np.testing.assert_allclose(eyes.left.iris, (44, 50), atol=0.01)
    np.testing.assert_allclose(eyes.right.iris, (94, 50), atol=0.01)
    assert eyes.left.radius == pytest.approx(IRIS_SHARE * 28)


def test_the_nose_lies_between_the_eyes() -> None:
    eyes = eyes_of_points(face())
    assert (eyes.left.nasal, eyes.right.nasal) == (1, -1)
    assert eyes.left.brow[:, 0].max() < eyes.right.brow[:, 0].min()


def test_a_picture_without_a_face_has_no_eyes() -> None:
    assert find_eyes(np.full((120, 120, 3), 128, np.uint8)) is None
