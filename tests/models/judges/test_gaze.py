"""Angles by hand, and OpenVINO's networks on photographs and their mirror images."""

import cv2
import numpy as np
import pytest

from models.judges.gaze import Gaze, angles_of_vector, gaze_error
from models.photos.rejection import Rejection
from models.photos.upright import load_upright_aligner


def test_angles_of_a_vector():
    assert angles_of_vector(np.array([0.0, 0.0, -2.0])) == pytest.approx((0, 0))
    assert angles_of_vector(np.array([1.0, 0.0, -1.0])) == pytest.approx((0, 45))
    assert angles_of_vector(np.array([0.0, 1.0, -np.sqrt(3)])) == pytest.approx((30, 0))
    assert angles_of_vector(np.array([-1.0, 0.0, 0.0])) == pytest.approx((0, -90))


def test_the_error_goes_the_shorter_way_round():
    found = gaze_error(np.array([[10.0, 179.0], [-5, 20]]), np.array([[-10.0, -179.0], [-5, 15]]))
    assert found.tolist() == [[20, 2], [0, 5]]


def test_a_network_that_is_absent_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"evaluate_utility\.gaze: no file .*absent\.xml"):
        Gaze(tmp_path / "absent.xml", tmp_path / "absent.xml")


@pytest.mark.real
def test_mirrored_photographs_give_mirrored_gaze_and_a_bar_disturbs_it(assets):
    pytest.importorskip("openvino")
    folder = assets / "weights"
    gaze = Gaze(
        folder / "omz_gaze-estimation-adas-0002/gaze-estimation-adas-0002.xml",
        folder / "omz_head-pose-estimation-adas-0001/head-pose-estimation-adas-0001.xml",
    )
    align, faces = load_upright_aligner("dlib", "", 256), []
    for path in sorted((assets / "data/lfw_10x10").glob("*/*.jpg"))[::4]:
        try:
            faces.append(align(cv2.imread(str(path))[..., ::-1].copy()).image)
        except Rejection:
            continue
    images = np.stack(faces)
    found, mirrored = gaze(images), gaze(np.ascontiguousarray(images[:, :, ::-1]))
    assert len(found) > 15
    assert np.abs(found[:, 0] - mirrored[:, 0]).mean() < 6
    assert np.abs(found[:, 1] + mirrored[:, 1]).mean() < 14
    assert np.corrcoef(found[:, 1], -mirrored[:, 1])[0, 1] > 0.6
    assert np.abs(found).mean() < 25  # people in the news look about at the camera
    barred = images.copy()
    barred[:, 90:140, 30:226] = 0
    assert gaze_error(found, gaze(barred)).mean() > gaze_error(found, gaze(cv2_noise(images))).mean()


def cv2_noise(images: np.ndarray) -> np.ndarray:
    return np.clip(images.astype(int) + np.random.default_rng(0).integers(-4, 5, images.shape), 0, 255).astype(np.uint8)
