"""Faces of a picture concealed and revealed by the real network at toy size."""

import cv2
import numpy as np
import pytest

from models.concealing.pictures import conceal, face_passwords, reveal
from models.concealing.reinsertion import coverage, fading, place_by_eyes, place_centre, take_face
from models.deid.deidentifier import Deidentifier, load_deidentifier
from tests.toys.deid import SIZE_PX, toy_deidentifier

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def cipher(tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    return load_deidentifier(toy_deidentifier(tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(40, 216, (12, 12, 3), np.uint8)
    return cv2.resize(coarse, (400, 320), interpolation=cv2.INTER_CUBIC)


PLACES = [
    place_by_eyes(np.array([[80.0, 130.0], [140.0, 124.0]]), SIZE_PX),
    place_by_eyes(np.array([[250.0, 140.0], [320.0, 150.0]]), SIZE_PX),
]


def test_two_faces_have_two_passwords_and_a_file_always_the_same():
    passwords = face_passwords(KEY, b"file", 2)
    assert passwords.shape == (2, 512)
    assert (passwords[0] != passwords[1]).mean() > 0.99
    np.testing.assert_array_equal(passwords, face_passwords(KEY, b"file", 2))


def test_all_but_the_faces_keeps_its_pixels_and_the_faces_do_not(cipher, photo):
    picture = conceal(photo, PLACES, cipher, face_passwords(KEY, b"file", 2)).picture
    touched = np.zeros(photo.shape[:2], bool)
    for place in PLACES:
        window, mask = coverage(place, photo.shape)
        touched[window] |= mask > 0
        middle = take_face(picture, place).astype(int)[20:-20, 20:-20]
        assert np.abs(middle - take_face(photo, place)[20:-20, 20:-20]).mean() > 10
    np.testing.assert_array_equal(picture[~touched], photo[~touched])


def test_revealing_gives_the_network_s_faces_within_the_photo_s_own_pixels(cipher, photo):
    passwords = face_passwords(KEY, b"file", 2)
    concealed = conceal(photo, PLACES, cipher, passwords)
    back = reveal(concealed.picture, PLACES, concealed, cipher, passwords)
    replaced = np.zeros(photo.shape[:2], bool)
    for place in PLACES:
        window, mask = coverage(place, photo.shape)
        replaced[window] |= mask > 0
    np.testing.assert_array_equal(back[~replaced], photo[~replaced])
    band = fading(PLACES, photo.shape)
    outermost = band & (cv2.erode(replaced.astype(np.uint8), np.ones((5, 5))) == 0)
    # where hardly anything of the network shows, the photo itself stands again
    assert np.abs(back[outermost].astype(int) - photo[outermost]).max() <= 6
    assert np.abs(concealed.picture[band].astype(int) - photo[band]).max() > 30


def test_an_aligned_picture_gives_exactly_what_the_network_gives(cipher, photo):
    face = photo[:SIZE_PX, :SIZE_PX]
    places, passwords = [place_centre(face.shape, SIZE_PX)], face_passwords(KEY, b"file", 1)
    concealed = conceal(face, places, cipher, passwords)
    images, features = cipher.encrypt(face[None], passwords)
    np.testing.assert_array_equal(concealed.picture, images[0])
    np.testing.assert_array_equal(concealed.features, features)
    assert concealed.band == b""
    back = reveal(concealed.picture, places, concealed, cipher, passwords)
    np.testing.assert_array_equal(back, cipher.decrypt(features, passwords)[0])


def test_a_wrong_password_gives_another_face(cipher, photo):
    passwords = face_passwords(KEY, b"file", 2)
    concealed = conceal(photo, PLACES, cipher, passwords)
    right, wrong = (
        reveal(concealed.picture, PLACES, concealed, cipher, face_passwords(KEY, name, 2)).astype(int)
        for name in (b"file", b"filf")
    )
    assert np.abs(take_face(np.uint8(right), PLACES[0]).astype(int) - take_face(np.uint8(wrong), PLACES[0])).max() > 5
