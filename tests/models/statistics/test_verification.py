"""The LFW protocol against a plain reference, and what an attacker sees in faces pushed apart."""

import numpy as np
import pytest

from models.statistics.verification import best_threshold, draw_pairs, verification_accuracy

RNG = np.random.default_rng(0)
PEOPLE = [f"p{i % 23}" for i in range(80)]


def reference(similarity: np.ndarray, same: np.ndarray, fold: np.ndarray) -> float:
    """LFW by exhaustive search: the lowest best threshold of nine folds judges the tenth."""
    accuracies = []
    for index in np.unique(fold):
        s, t = similarity[fold != index], same[fold != index]
        tried = [-np.inf, *((a + b) / 2 for a, b in zip(np.unique(s)[:-1], np.unique(s)[1:], strict=True)), np.inf]
        scores = [np.mean((s > threshold) == t) for threshold in tried]
        threshold = tried[int(np.argmax(scores))]
        held = fold == index
        accuracies.append(np.mean((similarity[held] > threshold) == same[held]))
    return float(np.mean(accuracies))


def test_pairs_are_half_same_half_different_and_nobody_is_in_two_folds():
    pairs = draw_pairs(PEOPLE, seed=1)
    people = np.array(PEOPLE)
    assert pairs.num_folds == 10
    np.testing.assert_array_equal(pairs.original[pairs.same], pairs.other[pairs.same])
    assert sorted(pairs.original[pairs.same]) == list(range(80))
    assert (people[pairs.original[~pairs.same]] != people[pairs.other[~pairs.same]]).all()
    folds = {
        person: {int(f) for f in pairs.fold[(people[pairs.original] == person) | (people[pairs.other] == person)]}
        for person in people
    }
    assert all(len(found) == 1 for found in folds.values())
    assert all(pairs.same[pairs.fold == f].mean() == 0.5 for f in range(10))


@pytest.mark.parametrize("gap", [0.0, 0.5, 3.0])
def test_accuracy_is_that_of_the_protocol(gap):
    pairs = draw_pairs(PEOPLE, seed=1)
    similarity = RNG.normal(size=len(pairs.same)) + gap * pairs.same
    found = verification_accuracy(similarity, pairs)
    assert found["value"] == pytest.approx(reference(similarity, pairs.same, pairs.fold), abs=1e-4)
    assert found["reversed"] == pytest.approx(reference(-similarity, pairs.same, pairs.fold), abs=1e-4)
    assert found["n"] == 160
    assert found["ci95"][0] < found["value"] < found["ci95"][1]


def test_separate_is_1_equal_is_a_guess_and_pushed_apart_shows_reversed():
    pairs = draw_pairs(PEOPLE, seed=1)
    apart = np.where(pairs.same, 0.9, 0.1) + 0.01 * RNG.random(len(pairs.same))
    assert verification_accuracy(apart, pairs)["value"] == 1.0
    assert verification_accuracy(np.zeros(len(pairs.same)), pairs)["value"] == 0.5
    pushed = verification_accuracy(-apart, pairs)
    assert (pushed["value"], pushed["reversed"]) == (0.5, 1.0)


def test_a_threshold_of_ties_and_few_people():
    assert best_threshold(np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, False, True, True])) == pytest.approx(0.5)
    assert best_threshold(np.array([0.2, 0.8]), np.array([True, False])) == -np.inf
    assert draw_pairs(["a", "b", "c", "d", "e"], seed=0).num_folds == 2
    for people in ([], ["a"], ["a", "b"], ["a", "a", "b", "c"]):
        pairs = draw_pairs(people, seed=0)
        found = verification_accuracy(np.zeros(len(pairs.same)), pairs)
        assert found["value"] is None
        assert "fewer than four people" in found["reason"]
