"""Distances and the bootstrap against cases computed by hand, and against what makes them metrics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.statistics.wasserstein import bootstrap_interval, total_variation, wasserstein_1

ages = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1))
weights = hnp.arrays(np.float64, 5, elements=st.floats(0.01, 10))


def test_wasserstein_1_by_hand():
    # Half of the mass moves from 10 to 30 years: 0.5 * 20 / 100.
    assert wasserstein_1(np.array([0.1, 0.3]), np.array([0.3])) == pytest.approx(0.1)
    # Sorted values are matched: (|0.1 - 0.2| + |0.5 - 0.9|) / 2.
    assert wasserstein_1(np.array([0.5, 0.1]), np.array([0.2, 0.9])) == pytest.approx(0.25)


def test_weights_stand_for_repeated_values_and_need_not_sum_to_one():
    x, y = np.array([0.1, 0.7]), np.array([0.2, 0.4, 0.9])
    repeated = wasserstein_1(np.array([0.1, 0.1, 0.1, 0.7]), y)
    assert wasserstein_1(x, y, np.array([3.0, 1.0])) == pytest.approx(repeated)
    assert wasserstein_1(x, y, np.array([0.75, 0.25]), np.full(3, 7.0)) == pytest.approx(repeated)


def test_wasserstein_1_of_nothing_is_refused():
    with pytest.raises(ValueError, match="samples of 0 and 1 values"):
        wasserstein_1(np.zeros(0), np.zeros(1))


def test_total_variation_by_hand():
    assert total_variation(np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])) == pytest.approx(0.3)
    assert total_variation(np.array([6.0, 2.0]), np.array([0.0, 3.0])) == pytest.approx(0.75)


def test_total_variation_of_two_categories_is_wasserstein_1_of_their_indicator():
    p, q = np.array([0.7, 0.3]), np.array([0.1, 0.9])
    line = np.array([0.0, 1.0])
    assert total_variation(p, q) == pytest.approx(wasserstein_1(line, line, p, q))


@pytest.mark.parametrize("bad", [np.zeros(2), np.array([1.0, -0.1]), np.ones(3)])
def test_total_variation_refuses_what_is_no_distribution(bad):
    with pytest.raises(ValueError, match="weights of the same categories"):
        total_variation(bad, np.ones(2))


@settings(deadline=None)  # a busy machine is no failure
@given(ages, ages, ages)
def test_wasserstein_1_is_a_metric(x, y, z):
    assert wasserstein_1(x, x) == pytest.approx(0, abs=1e-12)
    assert wasserstein_1(x, y) == pytest.approx(wasserstein_1(y, x), abs=1e-12)
    assert wasserstein_1(x, z) <= wasserstein_1(x, y) + wasserstein_1(y, z) + 1e-12
    assert wasserstein_1(x, y) >= abs(x.mean() - y.mean()) - 1e-12


@settings(deadline=None)
@given(weights, weights, weights)
def test_total_variation_is_a_metric(p, q, r):
    assert total_variation(p, 3 * p) == pytest.approx(0, abs=1e-12)
    assert total_variation(p, q) == pytest.approx(total_variation(q, p), abs=1e-12)
    assert total_variation(p, r) <= total_variation(p, q) + total_variation(q, r) + 1e-12
    assert total_variation(p, q) <= 1


def test_the_bootstrap_resamples_images_and_follows_its_seed():
    values = np.array([0.0, 1.0])

    def mean(rows: np.ndarray) -> float:
        assert rows.shape == (2,)
        return float(values[rows].mean())

    # Two of four resamples mix the images: 0, 0.5, 0.5, 1, so 95 % reaches from 0 to 1 and 40 % is 0.5 alone.
    assert bootstrap_interval(mean, 2, num_resamples=400, seed=0) == (0.0, 1.0)
    assert bootstrap_interval(mean, 2, num_resamples=400, seed=0, confidence=0.4) == (0.5, 0.5)


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(size=400)
    first, again, other = (
        bootstrap_interval(lambda rows: float(values[rows].mean()), 400, num_resamples=2000, seed=seed)
        for seed in (3, 3, 4)
    )
    assert first == again != other
    half = 1.96 * values.std() / 20
    assert first == (pytest.approx(values.mean() - half, abs=0.01), pytest.approx(values.mean() + half, abs=0.01))


def test_the_bootstrap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 images, 10 resamples"):
        bootstrap_interval(lambda rows: 0.0, 0, num_resamples=10, seed=0)
