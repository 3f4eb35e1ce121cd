"""Every face of a photograph is found, once; boxes of two detectors on one face count as one."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.data import get_image

from models.photos.every_face import EyeFinder, distinct, load_eye_finder

ULTRAFACE = "weights/ultraface/version-RFB-320.onnx"


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    """The photograph of six people that insightface ships, at half its size, in RGB."""
    photo: np.ndarray = np.asarray(get_image("t1"))
    return cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)[..., ::-1].copy()


@pytest.fixture(scope="module")
def find() -> EyeFinder:
    return load_eye_finder("dlib", "")


def test_boxes_on_one_face_count_once_and_the_largest_comes_first():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 12], [30, 30, 60, 60], [2, 2, 6, 6]], float)
    np.testing.assert_array_equal(distinct(boxes), boxes[[2, 0]])
    assert distinct(np.zeros((0, 4))).shape == (0, 4)


def test_dlib_finds_the_faces_of_a_group_and_their_eyes(find, group):
    faces = find(group)
    assert len(faces) >= 4
    middles = np.array([eyes.mean(axis=0) for eyes in faces])
    gaps = np.linalg.norm(middles[:, None] - middles[None], axis=-1) + np.eye(len(faces)) * 1e3
    assert gaps.min() > 40
    for left, right in faces:
        assert 10 < right[0] - left[0] < 40
        assert abs(right[1] - left[1]) < 20


def test_no_face_gives_none(find):
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    assert find(picture) == []


def test_eyes_are_in_the_pixels_of_the_picture_given(find, group):
    large = cv2.resize(group, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert large.shape[1] > 1024
    here, there = (np.array([eyes for eyes in find(picture)]).mean(axis=1) for picture in (group, large))
    distances = np.linalg.norm(here[:, None] - there[None] / 3, axis=-1).min(axis=1)
    assert (distances < 4).sum() >= 4


@pytest.mark.parametrize("detector", ["ultraface", "insightface"])
def test_a_missing_network_is_named(detector):
    with pytest.raises(ValueError, match=r"detector_path: .*nowhere"):
        load_eye_finder(detector, "nowhere")


def test_an_unknown_detector_is_named():
    with pytest.raises(ValueError, match="detector: 'haar' is not one of dlib, ultraface, insightface"):
        load_eye_finder("haar", "")


@pytest.mark.real
def test_two_detectors_find_all_six(assets: Path, group):
    assert len(load_eye_finder("ultraface", str(assets / ULTRAFACE))(group)) == 6
