"""What the search missed is hidden after the look; a method that leaves a face as it was is told."""

import numpy as np
import pytest

from models.concealing.checked import Checked, conceal_and_look
from models.concealing.look import Judge
from models.photos.every_face import Face
from models.photos.regions import changed_share, differs
from tests.worlds.group_photo import SEEKER, Mean, faces_of, group_photo


class Painter:
    """Paints faces in one colour, or leaves them."""

    image_size_px = 64

    def __init__(self, grey: int | None) -> None:
        self.grey = grey

    def encrypt(self, images: np.ndarray, passwords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the faces; one password comes for each."""
        assert len(images) == len(passwords)
        faces = images if self.grey is None else np.full_like(images, self.grey)
        return faces, np.zeros((len(images), 1, 1, 1), np.float16)

    def decrypt(self, features: np.ndarray, passwords: np.ndarray) -> np.ndarray:
        """Is not asked for."""
        raise NotImplementedError


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    return group_photo()


@pytest.fixture(scope="module")
def faces(group) -> list[Face]:
    return faces_of(group)


def checked(group: np.ndarray, faces: list[Face], grey: int | None, **options: bool) -> Checked:
    return conceal_and_look(
        group, faces, Painter(grey), lambda num: np.zeros((num, 512), np.float32), SEEKER, Judge(Mean(), 2.0), **options
    )


def test_a_face_that_the_search_missed_is_hidden_and_counted(group, faces):
    done = checked(group, faces[1:], 90)
    assert done.finding.left == []
    assert len(done.faces) > len(faces) - 1
    assert len(done.plan.hidden) >= 1
    changed = differs(group, done.concealed.picture)
    assert all(changed_share(region, changed) > 0.95 for face in faces for region in face.regions)


def test_where_nothing_is_to_be_hidden_it_is_left(group, faces):
    done = checked(group, faces[1:], 90, hide_missed=False)
    assert done.finding.left
    assert done.faces == faces[1:]


def test_a_method_that_leaves_a_face_is_not_helped(group, faces):
    done = checked(group, faces, None)
    assert done.finding.left
    assert len(done.plan.places) >= len([face for face in faces if face.geometry])
