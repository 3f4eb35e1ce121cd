"""Top-1: recalls, macro and micro by hand, and against scikit-learn; intervals against statsmodels."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score
from statsmodels.stats.proportion import proportion_confint

from models.statistics.recall import share_with_interval, top1

CLASSES = ("a", "b", "c")


def test_a_case_by_hand():
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    found = np.array([0, 0, 0, 1, 1, 2, 2])
    report = top1(found, truth, CLASSES, seed=1)
    assert report["a"]["value"] == 0.75
    assert report["b"]["value"] == 0.5
    assert report["c"]["value"] == 1.0
    assert report["all"]["value"] == 0.75  # not 5 / 7: each class counts once
    assert report["micro"]["value"] == round(5 / 7, 4)
    assert [report[name]["n"] for name in (*CLASSES, "all", "micro")] == [4, 2, 1, 7, 7]


def test_equals_scikit_learn_and_statsmodels():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    found = np.where(rng.random(200) < 0.7, truth, rng.integers(0, 3, 200))
    report = top1(found, truth, CLASSES, seed=1)
    recalls = recall_score(truth, found, average=None)
    assert [report[name]["value"] for name in CLASSES] == pytest.approx(list(recalls), abs=1e-4)
    assert report["all"]["value"] == pytest.approx(balanced_accuracy_score(truth, found), abs=1e-4)
    assert report["micro"]["value"] == pytest.approx(accuracy_score(truth, found), abs=1e-4)
    hits = int((found == truth).sum())
    assert report["micro"]["ci95"] == pytest.approx(proportion_confint(hits, 200, method="wilson"), abs=1e-4)


def test_the_macro_interval_is_that_of_a_bootstrap_within_classes():
    truth = np.repeat([0, 1, 2], (40, 10, 5))
    right = np.concatenate([np.arange(40) < 30, np.arange(10) < 5, np.arange(5) < 4])
    found = np.where(right, truth, (truth + 1) % 3)
    rng = np.random.default_rng(3)
    groups = [right[truth == k] for k in range(3)]
    resampled = [g[rng.integers(len(g), size=(20_000, len(g)))].mean(1) for g in groups]
    expected = np.quantile(np.mean(resampled, 0), (0.025, 0.975))
    report = top1(found, truth, CLASSES, seed=1, num_resamples=20_000)
    assert report["all"]["ci95"] == pytest.approx(list(expected), abs=0.01)


def test_a_class_without_images_is_null_and_outside_the_mean():
    report = top1(np.array([0, 1]), np.array([0, 0]), CLASSES, seed=1)
    assert report["c"] == {"value": None, "n": 0, "ci95": [None, None]} == share_with_interval(0, 0)
    assert report["all"]["value"] == 0.5
    nothing = top1(np.array([], int), np.array([], int), CLASSES, seed=1)
    assert nothing["all"]["value"] is None


def test_answers_and_truths_must_pair():
    with pytest.raises(ValueError, match="give one an image"):
        top1(np.array([0]), np.array([0, 1]), CLASSES, seed=1)
