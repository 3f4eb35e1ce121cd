"""Ingest's frame: the largest face, whichever way up the photo is, or a reason."""

import cv2
import numpy as np
import pytest
from insightface.data import get_image

from models.photos.detectors import Hog
from models.photos.every_face import Seeker
from models.photos.rejection import Rejection
from models.photos.upright import crop_largest_face, load_upright_aligner

SEEKERS = (Seeker((Hog(0.0),), 80),)


@pytest.fixture(scope="module")
def one() -> np.ndarray:
    return np.ascontiguousarray(np.asarray(get_image("t1"))[120:340, 224:444, ::-1])


@pytest.fixture(scope="module")
def upright(one):
    return crop_largest_face(one, SEEKERS, 96)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_photo_gives_the_frame_of_the_upright_one(one, upright, quarter):
    turned = crop_largest_face(np.ascontiguousarray(np.rot90(one, quarter)), SEEKERS, 96)
    assert "turned" in turned.flags
    assert "turned" not in upright.flags
    distance = np.abs(turned.image.astype(int) - upright.image).mean()
    assert distance < 0.3 * np.abs(np.rot90(turned.image).astype(int) - upright.image).mean()


def test_the_larger_of_two_is_taken_and_the_reader_told(one, upright):
    small = cv2.resize(one, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    pair = np.full((220, 330, 3), 110, np.uint8)
    pair[:, 110:], pair[:110, :110] = one, small[:, ::-1]
    seekers = (Seeker((Hog(0.0),), 40),)
    found = crop_largest_face(pair, seekers, 96)
    assert "several_faces" in found.flags
    assert np.abs(found.image.astype(int) - upright.image).mean() < 12


def test_what_the_first_seeker_misses_the_next_one_sees(one, upright):
    blind = Seeker((Hog(99.0),), 80)
    found = crop_largest_face(one, (blind, *SEEKERS), 96)
    np.testing.assert_array_equal(found.image, upright.image)
    with pytest.raises(Rejection, match="no_face"):
        crop_largest_face(one, (blind,), 96)


def test_a_setting_that_cannot_be_met_is_named():
    with pytest.raises(ValueError, match=r"detector_path: 'x' has no effect with dlib"):
        load_upright_aligner("dlib", "x", 96)
    for detector in ("ultraface", "insightface"):
        with pytest.raises(ValueError, match=r"detector_path: .*nowhere"):
            load_upright_aligner(detector, "nowhere", 96)
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = 200
    assert (load_upright_aligner("aligned", "", 64)(wide).image == 200).all()
