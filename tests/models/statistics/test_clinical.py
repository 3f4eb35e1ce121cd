"""Majority votes of three readers and Cohen's kappa with the originals, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from models.statistics.clinical import ORIGINAL, TIE, Diagnosis, clinical_rows, decisions, majority

DISEASES = ("bcc", "tao", "ptosis")


def test_a_majority_is_more_than_half():
    assert majority(["bcc", "tao", "bcc"]) == "bcc"
    assert majority(["bcc", "tao", "ptosis"]) == TIE
    assert majority(["bcc", "tao"]) == TIE
    assert majority([]) == TIE


def said(method: str, votes: dict[str, tuple[str, ...]]) -> list[Diagnosis]:
    return [Diagnosis(i, method, f"r{k}", v) for i, row in votes.items() for k, v in enumerate(row)]


def test_only_images_that_all_readers_diagnosed_count():
    found = decisions(said("a", {"x": ("bcc", "bcc", "tao"), "y": ("bcc", "bcc")}), 3)
    assert found == {"a": {"x": "bcc"}}
    twice = [Diagnosis("x", "a", "r0", "bcc"), Diagnosis("x", "a", "r0", "tao")]
    with pytest.raises(ValueError, match="reader 'r0' said both 'bcc' and 'tao' of one image of 'a'"):
        decisions(twice, 3)
    assert decisions(twice[:1] * 2, 1) == {"a": {"x": "bcc"}}


def test_kappa_is_scikit_learns_for_each_disease_against_the_rest():
    rng = np.random.default_rng(0)
    truth = rng.choice(DISEASES, 90)
    other = np.where(rng.random(90) < 0.3, rng.choice(DISEASES, 90), truth)
    votes = said(ORIGINAL, {f"{i}": (t,) * 3 for i, t in enumerate(truth)})
    votes += said("blur", {f"{i}": (o, o, t) for i, (o, t) in enumerate(zip(other, truth, strict=True))})
    votes += said("blur", {"unpaired": ("bcc",) * 3})
    (row,) = clinical_rows(decisions(votes, 3), DISEASES, num_resamples=300, seed=0)
    assert row["method"] == "blur"
    assert (row["n"], row["undecided"], row["unpaired"]) == (90, 0, 1)
    for disease in DISEASES:
        expected = cohen_kappa_score(truth == disease, other == disease)
        assert row[disease]["value"] == pytest.approx(expected, abs=1e-6)
        assert row[disease]["ci95"][0] < expected < row[disease]["ci95"][1]
    assert row["all"]["value"] == pytest.approx(cohen_kappa_score(truth, other), abs=1e-6)


def test_ties_are_counted_and_a_disease_nobody_named_has_a_reason():
    votes = said(ORIGINAL, {"x": ("bcc",) * 3, "y": ("tao",) * 3, "z": ("tao",) * 3})
    votes += said("mask", {"x": ("bcc",) * 3, "y": ("tao",) * 3, "z": ("tao", "bcc", "ptosis")})
    (row,) = clinical_rows(decisions(votes, 3), DISEASES, num_resamples=50, seed=0)
    assert (row["n"], row["undecided"]) == (2, 1)
    assert row["bcc"]["value"] == 1.0
    assert row["ptosis"]["value"] is None
    assert row["ptosis"]["reason"] == "only one category was used"
    with pytest.raises(ValueError, match="none of the method 'original'"):
        clinical_rows({"mask": {"x": "bcc"}}, DISEASES, num_resamples=5, seed=0)
