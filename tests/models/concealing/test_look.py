"""The look at the result, whatever the method was."""

import numpy as np
import pytest

from models.concealing.hiding import hide
from models.concealing.look import Judge, eyes_of, look
from models.photos.every_face import FRAMED, Face
from models.photos.regions import Region
from tests.worlds.group_photo import SEEKER, Mean, faces_of, group_photo


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    return group_photo()


@pytest.fixture(scope="module")
def faces(group) -> list[Face]:
    return faces_of(group)


def covered(group: np.ndarray, faces: list[Face]) -> np.ndarray:
    return hide(group, [region.box(1.35) for face in faces for region in face.regions])


def test_a_result_without_faces_passes(group, faces):
    found = look(group, covered(group, faces), faces, SEEKER, Judge(Mean(), 0.9))
    assert found.left == []
    assert found.similarities == []  # a plain square shows nobody


def test_a_face_that_nobody_had_found_is_seen_on_the_result(group, faces):
    found = look(group, covered(group, faces[1:]), faces[1:], SEEKER, Judge(Mean(), 0.9))
    assert any(region.holds(eyes_of(faces[0])) for region in found.left)


def test_a_face_that_was_found_and_not_touched_is_left_even_if_no_detector_sees_it(group):
    after = covered(group, SEEKER.faces(group))
    changed = (after != group).any(axis=-1)
    x, y = next(
        (x, y)
        for y in range(30, 371, 20)
        for x in range(30, 691, 20)
        if not changed[y - 30 : y + 30, x - 30 : x + 30].any()
    )
    nowhere = Face((Region(x, y, 60, 0.0, "hog", 1.0),), None)
    found = look(group, after, [nowhere], SEEKER, Judge(Mean(), 0.9))
    assert nowhere.regions[0] in found.left


def test_pixels_kept_on_purpose_do_not_count_as_left(group, faces):
    after = covered(group, faces)
    region = faces[0].regions[0]
    y, x = int(region.y), int(region.x)
    after[y - 20 : y, x - 25 : x + 25] = group[y - 20 : y, x - 25 : x + 25]
    kept = np.zeros(group.shape[:2], bool)
    kept[y - 20 : y, x - 25 : x + 25] = True
    judge = Judge(Mean(), 2.0)
    assert region in look(group, after, faces, SEEKER, judge).left
    assert region not in look(group, after, faces, SEEKER, judge, kept).left


@pytest.mark.parametrize(
    "change",
    {
        "a level more or less": lambda rgb: rgb ^ 1,
        "noise": lambda rgb: rgb.astype(float) + np.random.default_rng(0).normal(0, 15, rgb.shape),
        "less contrast": lambda rgb: 90 + rgb * 0.5,
        "negative": lambda rgb: 255 - rgb,
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_face_of_which_every_pixel_changed_and_nothing_is_hidden_is_left(group, faces, change):
    after = np.clip(change[1](group), 0, 255).astype(np.uint8)
    found = look(group, after, faces, SEEKER, Judge(Mean(), 2.0))
    assert all(face.regions[0] in found.left for face in faces)


def test_a_frame_in_which_no_detector_sees_a_face_is_judged_as_well(group):
    framed = Face((Region(360, 200, 300, 0.0, FRAMED, 1.0),), None)
    assert look(group, group ^ 1, [framed], SEEKER, Judge(Mean(), 0.9)).likest > 0.99


@pytest.mark.parametrize("direction", [0.0, 90.0, 180.0, 270.0])
def test_the_eyes_of_a_square_are_where_its_direction_has_them(direction):
    left, right = eyes_of(Face((Region(100, 100, 100, direction, "cnn", 1.0),), None)) - 100
    turn = np.radians(direction)
    up = np.array([np.sin(turn), -np.cos(turn)])
    assert ((left + right) / 2) @ up == pytest.approx(17)
    assert (right - left) @ np.array([np.cos(turn), np.sin(turn)]) == pytest.approx(42)
