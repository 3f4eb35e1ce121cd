"""Noise of the stated distribution, the same for the same data and fresh for any other."""

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from models.cohort.private_counts import (
    at_least,
    discrete_laplace,
    mean_absolute_noise,
    private_counts,
    shares_of_epsilon,
)

KEY = bytes(range(32))


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 2.5])
def test_noise_is_discrete_laplace(epsilon: float) -> None:
    drawn = discrete_laplace(KEY, "test", 40_000, epsilon)
    a, reach = math.exp(-epsilon), math.ceil(5 / epsilon)
    values = np.arange(-reach, reach + 1)
    expected = (1 - a) / (1 + a) * a ** np.abs(values) * drawn.size
    seen = np.array([(drawn == value).sum() for value in values])
    tail = drawn.size - seen.sum(), drawn.size - expected.sum()
    assert chisquare([*seen, tail[0]], [*expected, tail[1]]).pvalue > 1e-3
    assert np.abs(drawn).mean() == pytest.approx(mean_absolute_noise(epsilon), rel=0.05)


def test_noise_is_the_same_for_equal_arguments_alone() -> None:
    first = discrete_laplace(KEY, "age", 64, 0.5)
    assert (first == discrete_laplace(KEY, "age", 64, 0.5)).all()
    for other in (discrete_laplace(KEY[::-1], "age", 64, 0.5), discrete_laplace(KEY, "gender", 64, 0.5)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.5
        assert (first != other).mean() > 0.5


def test_counts_keep_their_shape_and_small_ones_are_told_as_k() -> None:
    counts = np.arange(12).reshape(3, 4)
    noisy = private_counts(counts, KEY, "x", 50.0)
    assert (noisy == counts).all()
    assert at_least(np.array([-3, 0, 1, 4, 5, 9]), 5).tolist() == [0, 0, 5, 5, 5, 9]


def test_epsilon_is_split_in_full_and_more_cells_get_more() -> None:
    parts = shares_of_epsilon((8, 2, 2), 3.0)
    assert sum(parts) == pytest.approx(3.0)
    assert parts[0] == pytest.approx(2 * parts[1])
    with pytest.raises(ValueError, match=r"profile_cohort\.epsilon: 0 must be above 0"):
        discrete_laplace(KEY, "x", 1, 0)
