"""Simulated hands click where they should."""

import numpy as np

from models.segmentation.prompts import correction, inner_point, loose_box, random_point


def disc(x: int, y: int, radius: int) -> np.ndarray:
    ys, xs = np.mgrid[:64, :64]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


def test_a_careful_click_lies_in_the_middle_and_at_the_border_too() -> None:
    assert np.allclose(inner_point(disc(30, 20, 9)), (30, 20), atol=1)
    x, y = inner_point(disc(0, 0, 9))
    assert disc(0, 0, 9)[y, x]
    assert 0 < x < 9


def test_a_hasty_click_lies_anywhere_inside() -> None:
    rng, mask = np.random.default_rng(0), disc(30, 20, 9)
    points = {random_point(mask, rng) for _ in range(200)}
    assert all(mask[y, x] for x, y in points)
    assert len(points) > 80


def test_a_loose_box_stays_near_and_inside_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        left, top, right, bottom = loose_box(disc(5, 20, 9), rng)
        assert 0 <= left <= 3
        assert 8 <= top <= 14
        assert left < right <= 17
        assert top < bottom <= 32


def test_a_correction_is_positive_in_what_is_missing_and_negative_in_what_is_too_much() -> None:
    truth = disc(20, 20, 9)
    (x, y), positive = correction(truth, truth & (np.arange(64) < 20)) or ((0, 0), False)
    assert positive
    assert truth[y, x]
    assert x >= 20
    (x, y), positive = correction(truth, truth | disc(50, 50, 5)) or ((0, 0), True)
    assert not positive
    assert disc(50, 50, 5)[y, x]
    assert correction(truth, truth) is None
