"""No region of any detector keeps its eyes: it lies under a new face, or it is hidden whole."""

import numpy as np

from models.concealing.hiding import GREY, hidden_mask, hide, plan_faces
from models.photos.every_face import Face
from models.photos.geometry import Geometry
from models.photos.regions import Region, changed_share

SHAPE = (400, 600, 3)


def face(x: float, y: float, side: float, known: bool = True, detector: str = "hog") -> Face:
    eyes = np.array([[x - 0.2 * side, y - 0.15 * side], [x + 0.2 * side, y - 0.15 * side]])
    geometry = Geometry(eyes, 0.0, 1.0) if known else None
    return Face((Region(x, y, side, 0.0, detector, 1.0),), geometry)


def test_a_face_with_eyes_is_replaced_and_one_without_is_hidden_whole():
    plan = plan_faces([face(150, 150, 100), face(420, 200, 80, known=False)], SHAPE, 96)
    assert len(plan.places) == 1
    assert len(plan.hidden) == 1
    left, top, right, bottom = plan.hidden[0]
    assert left < 380
    assert right > 460
    assert top < 160
    assert bottom > 240


def test_a_nested_face_is_hidden_unless_the_new_face_covers_it():
    inside, beside = face(150, 140, 30, known=False), face(190, 190, 40, known=False)
    plan = plan_faces([face(150, 150, 100), inside, beside], SHAPE, 96)
    assert plan.doubtful == [beside]


def test_eyes_that_were_placed_wrongly_leave_the_whole_square_hidden():
    """The square is where a detector saw the face; its eyes were found elsewhere."""
    wrong = Face(face(300, 200, 100).regions, face(120, 80, 60).geometry)
    plan = plan_faces([wrong], SHAPE, 96)
    assert plan.doubtful == [wrong]
    changed = hidden_mask(plan.hidden, SHAPE)
    assert changed_share(wrong.regions[0], changed) == 1


def test_hiding_leaves_nothing_of_the_pixels_and_touches_no_others():
    photo = np.random.default_rng(0).integers(0, 120, SHAPE).astype(np.uint8)
    boxes = [(-20.0, -5.0, 40.4, 60.6), (590.0, 390.0, 700.0, 500.0)]
    out, mask = hide(photo, boxes), hidden_mask(boxes, SHAPE)
    assert (out[mask] == GREY).all()
    np.testing.assert_array_equal(out[~mask], photo[~mask])
    assert mask.sum() == 41 * 61 + 10 * 10
