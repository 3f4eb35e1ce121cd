"""A face comes back where it was; the rest of the picture keeps its pixels; no seam shows."""

import cv2
import numpy as np
import pytest

from models.concealing.reinsertion import Placement, coverage, fading, place_by_eyes, place_centre, put_back, take_face
from models.photos.alignment import LEFT_EYE, RIGHT_EYE, centre_square, crop_by_eyes
from models.photos.rejection import Rejection

EYES = np.array([[120.0, 130.0], [180.0, 118.0]])


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 216, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def at(placement: Placement, points: np.ndarray) -> np.ndarray:
    return points @ placement.matrix[:, :2].T + placement.matrix[:, 2]


@pytest.mark.parametrize("size", [96, 512])
def test_the_eyes_land_where_the_generator_draws_them(size):
    places = at(place_by_eyes(EYES, size), EYES)
    np.testing.assert_allclose(places + 0.5, np.array([LEFT_EYE, RIGHT_EYE]) * size)


@pytest.mark.parametrize("gap", [24.0, 61.0, 250.0])
def test_the_crop_is_that_of_the_alignment(gap):
    half = gap / 2 * np.array([np.cos(0.3), np.sin(0.3)])
    eyes = np.stack([np.array([400.0, 380.0]) - half, np.array([400.0, 380.0]) + half])
    picture = smooth(800, 800)
    ours = take_face(picture, place_by_eyes(eyes, 96)).astype(int)
    assert np.abs(ours - crop_by_eyes(picture, eyes, 96).image).mean() < 0.5


@pytest.mark.parametrize(("shape", "size"), [((96, 96), 96), ((128, 200), 128), ((300, 200), 96)])
def test_the_central_square_is_that_of_the_alignment(shape, size):
    picture = smooth(*shape)
    ours = take_face(picture, place_centre(picture.shape, size)).astype(int)
    assert np.abs(ours - centre_square(picture, size).image).max() <= 3


def test_an_aligned_picture_is_wholly_replaced_exactly():
    picture, face = smooth(96, 96), smooth(96, 96, seed=1)
    placement = place_centre(picture.shape, 96)
    np.testing.assert_array_equal(take_face(picture, placement), picture)
    np.testing.assert_array_equal(put_back(picture, face, placement), face)
    assert not fading([placement], picture.shape).any()


@pytest.mark.parametrize("size", [64, 256])
def test_its_own_face_put_back_changes_next_to_nothing(size):
    picture = smooth(320, 300)
    placement = place_by_eyes(EYES, size)
    back = put_back(picture, take_face(picture, placement), placement).astype(int)
    assert np.abs(back - picture).max() <= 6
    assert np.abs(back - picture).mean() < 0.3


def inside(placement: Placement, shape: tuple[int, ...]) -> np.ndarray:
    y, x = np.indices(shape[:2])
    places = at(placement, np.stack([x, y], axis=-1).reshape(-1, 2).astype(float)).reshape(*shape[:2], 2)
    return ((places >= -0.5) & (places <= placement.size_px - 0.5)).all(axis=-1)


@pytest.mark.parametrize(
    "eyes", [EYES, np.array([[10.0, 20.0], [70.0, 30.0]]), np.array([[-40.0, 300.0], [60.0, 330.0]])]
)
def test_no_pixel_outside_the_crop_changes_and_its_middle_does(eyes):
    picture = np.random.default_rng(0).integers(0, 256, (320, 300, 3), np.uint8)
    placement = place_by_eyes(eyes, 128)
    out = put_back(picture, np.full((128, 128, 3), 128, np.uint8), placement)
    crop = inside(placement, picture.shape)
    np.testing.assert_array_equal(out[~crop], picture[~crop])
    window, mask = coverage(placement, picture.shape)
    replaced = np.zeros(crop.shape, bool)
    replaced[window] = mask >= 1
    assert replaced.sum() > 0.25 * crop.sum()
    assert np.ptp(out[replaced].astype(int), axis=0).max() < 90  # a flat face with a gentle light; noise has 255


def test_the_picture_given_is_not_changed():
    picture = smooth(320, 300)
    before = picture.copy()
    put_back(picture, smooth(96, 96, seed=2), place_by_eyes(EYES, 96))
    np.testing.assert_array_equal(picture, before)


def test_no_seam_shows():
    """Steps between neighbours near the border are as small as elsewhere; pasting without fading has more."""
    picture, face = smooth(320, 300), np.full((128, 128, 3), 90, np.uint8)
    placement = place_by_eyes(EYES, 128)
    out = put_back(picture, face, placement).astype(int)
    steps = max(np.abs(np.diff(out, axis=axis)).max() for axis in (0, 1))
    pasted = picture.astype(int)
    pasted[inside(placement, picture.shape)] = 90
    assert steps < 14
    assert max(np.abs(np.diff(pasted, axis=axis)).max() for axis in (0, 1)) > 50


def test_a_face_under_another_light_takes_that_of_the_picture():
    picture = smooth(320, 300)
    placement = place_by_eyes(EYES, 128)
    face = take_face(picture, placement)
    darker = np.clip(face.astype(int) - np.array([35, 20, 30]), 0, 255).astype(np.uint8)
    difference = np.abs(put_back(picture, darker, placement).astype(int) - picture)
    assert difference.mean() < 0.5


def test_redness_within_the_face_is_kept_under_the_light():
    picture = np.full((320, 300, 3), (180, 140, 120), np.uint8)
    face = np.full((128, 128, 3), (150, 120, 110), np.uint8)
    face[50:70, 80:100] = (200, 70, 60)  # an inflamed eye
    placement = place_by_eyes(EYES, 128)
    out = take_face(put_back(picture, face, placement), placement).astype(int)
    contrast = out[60, 90] - out[60, 40]
    np.testing.assert_allclose(contrast, face[60, 90].astype(int) - face[60, 40], atol=3)


def test_where_faces_overlap_what_one_replaces_is_no_band():
    one, two = place_by_eyes(EYES, 96), place_by_eyes(EYES + [30, 0], 96)
    both, alone = fading([one, two], (320, 300)), fading([one], (320, 300))
    assert alone.any()
    window, mask = coverage(two, (320, 300))
    assert not (both[window] & (mask >= 1)).any()
    assert (alone[window] & (mask >= 1)).any()


def test_coinciding_eyes_are_no_face():
    with pytest.raises(Rejection, match="no_face"):
        place_by_eyes(np.array([[4.0, 4.0], [4.0, 4.0]]), 96)


def test_a_face_beyond_the_picture_changes_nothing():
    picture = smooth(320, 300)
    far = place_by_eyes(EYES + 5000, 96)
    np.testing.assert_array_equal(put_back(picture, smooth(96, 96), far), picture)
