"""A reader of known skill errs as often as stated, on what is stated."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from models.diseases import DISEASES, ROWS
from models.segmentation.masks import dice
from phantom.simulated_reader import Case, Skill, confusion, jitter, outline, read_case

SKILL = Skill(
    accuracy=0.85, lookalikes=0.8, severity_accuracy=0.75, false_low=0.05, true_low=0.7, mask_shift=0.05,
    mask_growth=0.05, accept_iou=0.85, skip_share=0.02,
)  # fmt: skip
YS, XS = np.mgrid[:64, :64]
MASK = (XS - 30) ** 2 + (YS - 34) ** 2 < 12**2
CASE = Case("bcc", "mid", False, MASK, MASK)


def readings(case: Case, skill: Skill = SKILL, n: int = 1500) -> list[dict | None]:
    return [read_case(case, skill, np.random.default_rng([1, index])) for index in range(n)]


def test_the_confusion_is_a_distribution_and_names_the_lookalikes():
    matrix = confusion(SKILL)
    assert matrix.sum(1) == pytest.approx(np.ones(8))
    assert np.diag(matrix) == pytest.approx(np.full(8, 0.85))
    for true, alike in ((row.key, row.alike) for row in ROWS):
        row = matrix[DISEASES.index(true)]
        assert min(row[DISEASES.index(name)] for name in alike) > 2 * np.min(row)
    assert matrix[1, 5] == pytest.approx(0.15 * (0.8 + 0.2 / 7))  # bcc called scc


def test_diseases_are_called_as_the_confusion_says():
    said = [one["disease"] for one in readings(CASE) if one and one["quality"] == "usable"]
    shares = np.array([Counter(said)[name] for name in DISEASES]) / len(said)
    assert shares == pytest.approx(confusion(SKILL)[DISEASES.index("bcc")], abs=0.025)


def test_rejections_and_skips_are_as_often_as_stated():
    good, bad = readings(CASE), readings(replace(CASE, is_low=True))
    assert np.mean([one is None for one in good]) == pytest.approx(0.02, abs=0.01)
    for said, share in ((good, 0.05), (bad, 0.7)):
        low = [one for one in said if one and one["quality"] == "low"]
        assert len(low) / sum(one is not None for one in said) == pytest.approx(share, abs=0.03)
        assert all("disease" not in one and one["mask"] is None and one["quality_reason"] for one in low)


def test_severities_are_off_by_one_step_at_most():
    skill = replace(SKILL, accuracy=1.0, false_low=0.0)
    for true, allowed in (
        ("slight", {"slight", "mid"}),
        ("mid", {"slight", "mid", "heavy"}),
        ("heavy", {"mid", "heavy"}),
    ):
        said = Counter(one["severity"] for one in readings(replace(CASE, severity=true), skill) if one)
        assert set(said) == allowed
        assert said[true] / said.total() == pytest.approx(0.75, abs=0.03)


def test_a_tumour_is_outlined_where_there_is_one_to_be_seen():
    for one in readings(CASE, n=300):
        if one and one["quality"] == "usable":
            assert (one["mask"] is not None) == (one["disease"] in ("bcc", "scc"))
            assert ("severity" in one) == (one["disease"] != "normal")
    assert all(one is None or one["mask"] is None for one in readings(replace(CASE, mask=None), n=200))


def test_a_proposal_near_his_own_is_accepted_as_it_is_and_another_is_not():
    rng = np.random.default_rng(0)
    exact, never = replace(SKILL, accept_iou=0.0), replace(SKILL, accept_iou=1.0)
    assert outline(MASK, MASK, exact, rng) is MASK
    assert (outline(MASK, MASK, never, rng) != MASK).any()
    drawn = [outline(MASK, MASK, SKILL, rng) is MASK for _ in range(200)]
    assert 0.3 < np.mean(drawn) < 0.95


def test_jitter_grows_with_the_reader_and_keeps_the_size_on_average():
    rng = np.random.default_rng(2)
    careful, careless = ([jitter(MASK, size, size, rng) for _ in range(100)] for size in (0.02, 0.1))
    near, far = (np.mean([dice(mask, MASK) for mask in masks]) for masks in (careful, careless))
    assert 1 > near > 0.95 > far > 0.7
    assert np.mean([mask.sum() for mask in careless]) == pytest.approx(MASK.sum(), rel=0.1)
    assert (jitter(MASK, 0, 0, rng) == MASK).all()


def test_a_speck_at_the_edge_never_vanishes():
    speck = np.zeros((20, 20), bool)
    speck[0, 0] = True
    rng = np.random.default_rng(0)
    assert all(jitter(speck, 2.0, 2.0, rng).any() for _ in range(50))
