"""Eyes land where the generator draws them, whatever the photo's size, turn and framing."""

import cv2
import numpy as np
import pytest

from models.photos.alignment import LEFT_EYE, RIGHT_EYE, centre_square, crop_by_eyes
from models.photos.rejection import Rejection


def dots(eyes: np.ndarray, size: int, radius: int) -> np.ndarray:
    """A black picture with a red dot on the viewer's left eye and a green one on the right."""
    image = np.zeros((size, size, 3), np.uint8)
    for channel, eye in enumerate(eyes):
        colour = [0, 0, 0]
        colour[channel] = 255
        cv2.circle(image, (round(eye[0]), round(eye[1])), radius, colour, -1)
    return image


def centre(channel: np.ndarray) -> np.ndarray:
    y, x = np.indices(channel.shape)
    weight = channel / channel.sum(dtype=float)
    return np.array([(x * weight).sum(), (y * weight).sum()])


@pytest.mark.parametrize("gap", [30, 90, 400])
@pytest.mark.parametrize("angle", [0.0, 25.0, -40.0])
def test_eyes_land_on_their_places(gap, angle):
    half = gap / 2 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    middle = np.array([500, 480])
    eyes = np.round(np.stack([middle - half, middle + half]))
    crop = crop_by_eyes(dots(eyes, 1000, max(2, gap // 15)), eyes, 96).image
    assert crop.shape == (96, 96, 3)
    for channel, place in ((0, LEFT_EYE), (1, RIGHT_EYE)):
        np.testing.assert_allclose(centre(crop[..., channel]) + 0.5, np.array(place) * 96, atol=0.6)


def test_flags_tell_of_upscaling_and_padding():
    eyes = np.array([[60.0, 70.0], [90.0, 70.0]])
    assert crop_by_eyes(dots(eyes, 160, 3), eyes, 96).flags == ["upscaled"]
    corner = np.array([[5.0, 5.0], [105.0, 5.0]])
    assert crop_by_eyes(dots(corner, 300, 3), corner, 96).flags == ["padded"]


def test_coinciding_eyes_are_no_face():
    with pytest.raises(Rejection, match="no_face"):
        crop_by_eyes(np.zeros((9, 9, 3), np.uint8), np.array([[4.0, 4.0], [4.0, 4.0]]), 96)


def test_centre_square_cuts_the_middle():
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = 200
    aligned = centre_square(wide, 64)
    assert (aligned.image == 200).all()
    assert aligned.flags == []
    assert centre_square(wide, 96).flags == ["upscaled"]
