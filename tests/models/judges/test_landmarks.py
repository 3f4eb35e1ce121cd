"""The landmark error by hand, and dlib's points on a photograph that is moved."""

import numpy as np
import pytest
import skimage.data

from models.judges.landmarks import PARTS, landmark_error, load_landmarks
from models.photos.alignment import LEFT_EYE, RIGHT_EYE, crop_by_eyes, load_dlib, packaged_predictor


@pytest.fixture(scope="module")
def landmarks():
    return load_landmarks("")


@pytest.fixture(scope="module")
def eyes():
    """Eye centres of skimage's astronaut, as dlib's detector and predictor find them."""
    return load_dlib("")(skimage.data.astronaut())[0][1]


def face(eyes: np.ndarray, size: int, shift_px: float = 0.0) -> np.ndarray:
    return crop_by_eyes(skimage.data.astronaut(), eyes + [shift_px, 0], size).image


def test_the_error_is_the_mean_distance_of_a_parts_points():
    original = np.zeros((2, 68, 2))
    moved = original.copy()
    moved[1, 36:48] = [3, 4]
    moved[1, 48] = [0, 20]
    assert landmark_error(original, moved, "eye").tolist() == [0, 5]
    assert landmark_error(original, moved, "mouth").tolist() == [0, 1]
    assert landmark_error(original, moved, "nose").tolist() == [0, 0]
    assert landmark_error(original, moved, "all")[1] == pytest.approx((12 * 5 + 20) / 68)
    assert [part.stop - part.start for part in PARTS.values()] == [68, 12, 20, 9]


def test_the_points_of_a_photograph_lie_where_the_frame_has_the_eyes(landmarks, eyes):
    for size in (96, 256):
        points = landmarks(face(eyes, size)[None])[0] / size
        for eye, place in ((slice(36, 42), LEFT_EYE), (slice(42, 48), RIGHT_EYE)):
            np.testing.assert_allclose(points[eye].mean(0), place, atol=0.03)
        assert points[48:68, 1].mean() > 0.7


def test_a_face_that_is_moved_moves_its_points_as_far(landmarks, eyes):
    size, moved_px = 256, 4.0
    scale = np.linalg.norm(eyes[1] - eyes[0]) / (0.4 * size)
    pair = landmarks(np.stack([face(eyes, size), face(eyes, size, moved_px * scale)]))
    found = landmark_error(pair[:1], pair[1:], "all")[0]
    assert found == pytest.approx(moved_px, abs=1.0)
    assert landmarks(np.zeros((0, 96, 96, 3), np.uint8)).shape == (0, 68, 2)


def test_a_predictor_that_is_absent_or_another_says_so(tmp_path, landmarks):
    with pytest.raises(ValueError, match=r"evaluate_utility\.predictor: no file .*absent\.dat"):
        load_landmarks(str(tmp_path / "absent.dat"))
    five = packaged_predictor().with_name("shape_predictor_5_face_landmarks.dat")
    with pytest.raises(ValueError, match="has 5 points; 68 are needed"):
        load_landmarks(str(five))
