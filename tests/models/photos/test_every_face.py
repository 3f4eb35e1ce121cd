"""Every face of a photograph is found whichever way up it is, and its eyes are given only where they are certain."""

import numpy as np
import pytest
from insightface.data import get_image

from models.photos.detectors import Hog
from models.photos.every_face import Face, Seeker
from models.photos.geometry import find_geometry, plausible
from models.photos.regions import Region


@pytest.fixture(scope="module")
def group() -> np.ndarray:
    """Two of the six people of the photograph that insightface ships, in RGB."""
    return np.ascontiguousarray(np.asarray(get_image("t1"))[80:480, 40:760, ::-1])


@pytest.fixture(scope="module")
def upright(group) -> list[Face]:
    return [face for face in seeker().faces(group) if face.geometry is not None]


def seeker() -> Seeker:
    return Seeker((Hog(0.2),), 80)


def test_no_face_gives_none():
    picture = np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8)
    assert seeker().faces(picture) == []


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_eyes_of_a_turned_photo_are_those_of_the_upright_one(group, upright, quarter):
    height, width = group.shape[:2]
    assert upright
    turned = seeker().faces(np.ascontiguousarray(np.rot90(group, quarter)))
    found = np.array([face.geometry.eyes for face in turned if face.geometry is not None])
    for face in upright:
        assert face.geometry is not None
        x, y = face.geometry.eyes.T
        there = {1: (y, width - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (height - 1 - y, x)}
        eyes = np.column_stack(there[quarter])
        gap = np.linalg.norm(eyes[1] - eyes[0])
        assert np.linalg.norm(found - eyes, axis=2).max(axis=1).min() < 0.15 * gap
    assert any(face.turned for face in turned)


def test_points_that_are_no_face_s_are_not_believed():
    points = np.zeros((68, 2))
    box = np.array([0.0, 0.0, 100.0, 100.0])
    for rows, place in (((36, 42), (30, 35)), ((42, 48), (70, 35)), ((27, 36), (50, 55)), ((48, 68), (50, 80))):
        points[slice(*rows)] = place
    points[[36, 42]] -= (8, 0)
    points[[39, 45]] += (8, 0)
    assert plausible(points, box)
    low = points.copy()
    low[36:48, 1] += 25
    wide = points.copy()
    wide[42:48, 0] += 25
    upside_down = points.copy()
    upside_down[:, 1] = 100 - points[:, 1]
    one_eyed = points.copy()
    one_eyed[[42, 45]] = 70, 35
    for wrong in (low, wide, upside_down, one_eyed):
        assert not plausible(wrong, box)


def test_noise_in_a_square_has_no_geometry():
    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    assert find_geometry(picture, [Region(150, 150, 100, 0.0, "hog", 1.0)]) is None
