"""Squares about faces: who is the same face, and what was changed of it."""

import numpy as np
import pytest

from models.photos.regions import Region, alike, changed_share, core, grouped


def region(x: float, y: float, side: float, score: float = 1.0) -> Region:
    return Region(x, y, side, 0.0, "hog", score)


def test_a_face_within_a_face_stays_a_face_of_its_own():
    large, small, again = region(100, 100, 90), region(104, 96, 40, 2.0), region(103, 98, 80, 0.5)
    groups = grouped([large, small, again])
    assert sorted(len(group) for group in groups) == [1, 2]
    assert {r for group in groups for r in group} == {large, small, again}


@pytest.mark.parametrize(("gap", "same"), [(0, True), (20, True), (45, False), (95, False)])
def test_cheek_to_cheek_is_two(gap, same):
    assert alike(region(100, 100, 90), region(100 + gap, 100, 90)) is same


def test_what_was_changed_is_counted_in_the_disc_and_not_where_it_is_kept_on_purpose():
    face, changed = region(50, 50, 60), np.zeros((100, 100), bool)
    assert changed_share(face, changed) == 0
    changed[:, :50] = True
    assert changed_share(face, changed) == pytest.approx(0.5, abs=0.05)
    assert changed_share(face, changed, kept=~changed) == 1


def test_a_tiny_face_at_the_border_still_has_a_disc():
    place, disc = core(region(0.2, 0.2, 2), (40, 40))
    assert disc.any()
    assert np.zeros((40, 40), bool)[place].shape == disc.shape
