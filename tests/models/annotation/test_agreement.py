"""Kappas against textbooks, the libraries and simulation; intervals that cover; nothing undefined slips out."""

import time

import numpy as np
import pytest
from statsmodels.stats.inter_rater import fleiss_kappa

from models.annotation.agreement import (
    cohen,
    expected_cohen,
    expected_fleiss,
    fleiss,
    fleiss_by_category,
    one_against_rest,
)

OPTIONS = {"num_resamples": 400, "seed": 3}
# Fleiss 1971 as reprinted widely: ten subjects, fourteen raters, five categories; kappa 0.210.
FLEISS_TABLE = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip


def skill(*accuracies: float, k: int = 4) -> np.ndarray:
    """Readers whose mistakes fall mostly on the next category."""
    matrices = []
    for accuracy in accuracies:
        matrix = np.full((k, k), (1 - accuracy) * 0.3 / (k - 1))
        matrix[np.arange(k), (np.arange(k) + 1) % k] += (1 - accuracy) * 0.7
        matrix[np.arange(k), np.arange(k)] = accuracy
        matrices.append(matrix)
    return np.array(matrices)


def simulate(confusions: np.ndarray, prior: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(prior), n, p=prior)
    edges = confusions.cumsum(2)
    return np.stack([(rng.random((n, 1)) > edge[truth]).sum(1) for edge in edges], 1)


def test_the_textbooks_fleiss_kappa():
    ratings = np.array([np.repeat(np.arange(5), row) for row in FLEISS_TABLE])
    assert fleiss(ratings, 5, **OPTIONS)["value"] == pytest.approx(0.210, abs=5e-4)


def test_cohens_kappa_by_hand():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.7, by chance 0.5.
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    kappa = cohen(first, second, **OPTIONS)
    assert (kappa["value"], kappa["n"]) == (pytest.approx(0.4), 50)
    assert kappa["ci95"][0] < 0.4 < kappa["ci95"][1]


def test_the_interval_is_that_of_resampled_images():
    ratings = simulate(skill(0.9, 0.8, 0.7), np.full(4, 0.25), 300)
    kappa = fleiss(ratings, 4, num_resamples=2000, seed=1)
    rng = np.random.default_rng(9)
    counts = (ratings[:, :, None] == np.arange(4)).sum(1)
    slow = [fleiss_kappa(counts[rng.integers(300, size=300)]) for _ in range(2000)]
    assert kappa["ci95"] == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.01)


def test_what_skill_lets_expect_is_what_many_images_show():
    confusions, prior = skill(0.9, 0.8, 0.6), np.array([0.1, 0.2, 0.3, 0.4])
    ratings = simulate(confusions, prior, 200_000)
    options = {"num_resamples": 2, "seed": 0}
    assert fleiss(ratings, 4, **options)["value"] == pytest.approx(expected_fleiss(confusions, prior), abs=0.004)
    by_category = fleiss_by_category(ratings, ("a", "b", "c", "d"), **options)
    for index, kappa in enumerate(by_category.values()):
        expected = expected_fleiss(one_against_rest(confusions, index), prior)
        assert kappa["value"] == pytest.approx(expected, abs=0.006)
    pair = cohen(ratings[:, 0], ratings[:, 2], **options)
    assert pair["value"] == pytest.approx(expected_cohen(confusions[0], confusions[2], prior), abs=0.004)


def test_the_interval_covers_the_expected_value_nineteen_times_in_twenty():
    confusions, prior = skill(0.92, 0.85, 0.8), np.full(4, 0.25)
    expected = expected_fleiss(confusions, prior)
    intervals = [fleiss(simulate(confusions, prior, 150, seed), 4, **OPTIONS)["ci95"] for seed in range(200)]
    assert 0.90 <= np.mean([low <= expected <= high for low, high in intervals]) <= 0.985


def test_perfect_readers_agree_and_guessing_ones_do_not():
    prior = np.full(4, 0.25)
    assert expected_fleiss(skill(1.0, 1.0), prior) == pytest.approx(1)
    assert expected_fleiss(np.full((2, 4, 4), 0.25), prior) == pytest.approx(0)
    same = np.tile(np.arange(4).repeat(5)[:, None], 3)
    assert fleiss(same, 4, **OPTIONS) == {"value": 1.0, "n": 20, "ci95": [1.0, 1.0]}


@pytest.mark.parametrize(
    ("kappa", "n", "why"),
    [
        (fleiss(np.zeros((0, 3), int), 4, **OPTIONS), 0, "no image was rated by all readers"),
        (fleiss(np.zeros((5, 3), int), 4, **OPTIONS), 5, "only one category was used"),
        (fleiss(np.array([[0], [1]]), 4, **OPTIONS), 2, "one reader only"),
        (cohen(np.zeros(0, int), np.zeros(0, int), **OPTIONS), 0, "no image has both ratings"),
        (cohen(np.ones(4, int), np.ones(4, int), **OPTIONS), 4, "only one category was used"),
    ],
)
def test_what_is_undefined_is_none_with_a_reason(kappa, n, why):
    assert kappa == {"value": None, "n": n, "ci95": None, "why": why}


def test_resamples_without_a_rare_category_are_left_out():
    first = np.array([0] * 30 + [1])
    kappa = cohen(first, first, **OPTIONS)
    assert kappa == {"value": 1.0, "n": 31, "ci95": [1.0, 1.0]}


def test_42_000_images_and_1_000_resamples_take_seconds():
    ratings = simulate(skill(0.9, 0.8, 0.85, k=8), np.full(8, 1 / 8), 42_000)
    start = time.process_time()
    fleiss(ratings, 8, num_resamples=1000, seed=0)
    cohen(ratings[:, 0], ratings[:, 1], num_resamples=1000, seed=0)
    assert time.process_time() - start < 5  # 0.5 s where nothing else runs
