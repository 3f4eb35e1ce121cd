"""Quotas: whole numbers that add up, the earliest images of each cell, and what is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.cohort.quotas import cell_quotas, fill_quotas, filling_factor, largest_remainder, shortfall

A, B, C = ("bcc", "60-80", "male"), ("tao", "20-40", "female"), ("scc", "60-80", "female")


def test_largest_remainder_by_hand():
    # Of 10: 4.7, 3.1, 2.2 -> 4, 3, 2 and one left for the first.
    assert largest_remainder(np.array([0.47, 0.31, 0.22]), 10).tolist() == [5, 3, 2]
    # Of 10: 2.4, 2.7, 4.9 -> 2, 2, 4 and two left for the last two.
    assert largest_remainder(np.array([0.24, 0.27, 0.49]), 10).tolist() == [2, 3, 5]


def test_ties_go_to_the_first_index_whatever_the_last_bit_says():
    assert largest_remainder(np.ones(3), 10).tolist() == [4, 3, 3]
    assert largest_remainder(np.array([0.3, 0.1 + 0.2, 0.4]), 5).tolist() == [2, 1, 2]
    assert largest_remainder(np.array([0.1 + 0.2, 0.3, 0.4]), 5).tolist() == [2, 1, 2]


@settings(deadline=None)  # a busy machine is no failure
@given(hnp.arrays(np.float64, st.integers(1, 80), elements=st.floats(0.001, 1)), st.integers(0, 5000))
def test_quotas_add_up_and_lie_within_one_of_their_share(shares, total):
    counts = largest_remainder(shares, total)
    assert counts.sum() == total
    assert (np.abs(counts - shares / shares.sum() * total) < 1 + 1e-6).all()


def test_whole_shares_are_met_exactly():
    assert largest_remainder(np.array([1, 2, 3, 4]) / 10, 1000).tolist() == [100, 200, 300, 400]


@pytest.mark.parametrize("shares", [[], [0.0, 0.0], [0.5, -0.1], [np.nan, 1.0]])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="shares must be finite"):
        largest_remainder(np.array(shares), 3)


def test_a_negative_total_is_refused():
    with pytest.raises(ValueError, match="total -1 must be at least 0"):
        largest_remainder(np.ones(2), -1)


def test_cells_of_the_profile_get_their_quotas_and_empty_ones_none():
    names = ("disease", "age_bin", "gender")
    shares = {A: 0.6, B: 0.39, C: 0.01}
    joint = [dict(zip(names, cell, strict=True)) | {"p": p} for cell, p in shares.items()]
    assert cell_quotas(joint, 10) == {A: 6, B: 4}


def test_the_earliest_images_fill_a_cell_and_others_are_left():
    cells, order = [A, B, A, C, A, B], np.array([50, 10, 40, 5, 60, 20])
    assert fill_quotas({A: 2, B: 3}, cells, order).tolist() == [1, 5, 2, 0]


def test_shortfall_names_the_worst_cell_first():
    found = shortfall({A: 4, B: 2, C: 4}, [A, A, A, B, B])
    assert [(c["disease"], c["wanted"], c["available"], c["missing"]) for c in found["cells"]] == [
        ("scc", 4, 0, 4),
        ("bcc", 4, 3, 1),
    ]
    assert (found["total"], found["share"]) == (5, 0.5)
    assert shortfall({A: 1}, [A]) == {"cells": [], "total": 0, "share": 0.0}


def test_the_factor_is_the_one_that_fills_the_worst_cell():
    short = shortfall({A: 4, B: 10}, [A, A, A] + [B] * 4)["cells"]
    assert filling_factor(short, 1.25) == 3.13  # 1.25 * 10 / 4 = 3.125, rounded up
    assert filling_factor(short[1:], 1.2) == 1.6  # 1.2 * 4 / 3
    assert filling_factor([], 1.25) == 1.25
    assert filling_factor(shortfall({C: 1}, [])["cells"], 1.25) is None
