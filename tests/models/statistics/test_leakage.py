"""Thresholds and intervals against values computed by hand."""

from statistics import NormalDist

import numpy as np
import pytest

from models.statistics.leakage import (
    average_rate,
    drawn_interval,
    false_match_rate,
    fpir_threshold,
    leak_rate,
    rate_draws,
    threshold_draws,
    wilson_interval,
)


def test_threshold_is_the_order_statistic_whose_expected_rate_is_allowed():
    # 3 / (299 + 1) = 1 %: the third largest; two of the sample lie above it.
    threshold = fpir_threshold(np.random.default_rng(0).permutation(299) / 1000.0, 0.01)
    assert threshold.value == pytest.approx(0.296)
    assert threshold.num_hits == 2
    assert threshold.fpir <= 0.01


def test_ninety_nine_faces_are_just_enough_for_one_percent():
    assert fpir_threshold(np.arange(99.0), 0.01).value == 98.0
    with pytest.raises(ValueError, match=r"fpir: 0.01 needs at least 99 calibration faces, 98 given"):
        fpir_threshold(np.arange(98.0), 0.01)


def test_ties_at_the_threshold_do_not_count_as_leaks():
    threshold = fpir_threshold(np.full(500, 0.5), 0.01)
    assert threshold.num_hits == 0
    assert leak_rate(np.array([0.5, 0.5000001]), threshold.value)["leaked"] == 1


def test_new_people_stay_below_the_rate_in_expectation():
    rng = np.random.default_rng(1)
    rates = [
        float((rng.normal(size=5000) > fpir_threshold(rng.normal(size=405), 0.01).value).mean()) for _ in range(300)
    ]
    assert np.mean(rates) <= 0.0105


def test_wilson_by_hand():
    # p = 0.1, n = 100, z = 1.95996: centre 0.11479, half width 0.05955.
    low, high = wilson_interval(10, 100)
    assert (low, high) == (pytest.approx(0.05523, abs=1e-5), pytest.approx(0.17437, abs=1e-5))
    assert wilson_interval(0, 50)[0] == 0.0
    assert wilson_interval(50, 50)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_false_match_rate_counts_pairs():
    people = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    gallery = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], np.float32)
    assert false_match_rate(people, gallery, 0.7) == pytest.approx(3 / 6)


def test_rates_and_their_average():
    a = leak_rate(np.array([0.1, 0.9, 0.8, 0.2]), 0.5)
    b = leak_rate(np.array([0.1, 0.9, 0.3, 0.2]), 0.5)
    assert (a["n"], a["leaked"], a["rate"]) == (4, 2, 0.5)
    average = average_rate([a, b])
    assert (average["n"], average["leaked"], average["rate"]) == (4, 1.5, 0.375)
    assert average["ci95"][0] < 0.375 < average["ci95"][1]
    assert leak_rate(np.zeros(0), 0.5) == {"n": 0, "leaked": 0, "rate": None, "ci95": [0.0, 1.0]}


def test_intervals_hold_the_threshold_that_few_calibration_faces_set():
    """Over 300 worlds, strangers' rate at the true threshold is covered; binomial intervals cover it less often."""
    rng, covered, binomial, spans = np.random.default_rng(4), 0, 0, 0
    for world in range(300):
        calibration, floor = rng.normal(size=399), rng.normal(size=1000)
        threshold = fpir_threshold(calibration, 0.01)
        draws = rate_draws(floor, threshold_draws(calibration, 0.01, 300, world), world)
        low, high = drawn_interval(draws, 0.95)
        covered += low <= 0.01 <= high
        told = leak_rate(floor, threshold.value)["ci95"]
        binomial += told[0] <= 0.01 <= told[1]
        low, high = threshold.interval(0.95)
        spans += low <= 1 - NormalDist().cdf(threshold.value) <= high
    assert covered >= 0.93 * 300
    assert spans >= 0.92 * 300
    assert binomial < 0.85 * 300


def test_equal_seeds_draw_the_same_people_for_every_recogniser():
    values = np.random.default_rng(5).normal(size=200)
    first = threshold_draws(values, 0.01, 50, 3)
    assert np.allclose(threshold_draws(2 * values, 0.01, 50, 3), 2 * first)
    assert not np.array_equal(threshold_draws(values, 0.01, 50, 4), first)
    assert rate_draws(np.full(20, 9.0), first, 1).min() > 0.7
