"""The plain words follow the figures, in each direction and at each limit."""

import pytest

from models.report.dataset.verdict import distance_findings, leak_verdict
from models.statistics.leakage import average_rate, wilson_interval


def rate(leaked: int, n: int) -> dict:
    low, high = wilson_interval(leaked, n)
    return {"n": n, "leaked": leaked, "rate": leaked / n if n else None, "ci95": [low, high]}


def leakage(*judges: tuple[int, int, int, int]) -> dict:
    """Each judge: leaks of 200 direct, 200 injected and 200 floor, of 20 ceiling."""
    rows = {
        f"judge{k}": {"direct": rate(d, 200), "injected": rate(i, 200), "floor": rate(f, 200), "ceiling": rate(c, 20)}
        for k, (d, i, f, c) in enumerate(judges)
    }
    arms = ("direct", "injected", "floor", "ceiling")
    return {"recognisers": rows, "average": {a: average_rate([r[a] for r in rows.values()]) for a in arms}}


def test_it_is_shown_where_every_judge_says_so() -> None:
    verdict = leak_verdict(leakage((60, 6, 2, 19), (50, 4, 2, 19)))
    assert verdict.shown
    assert "by judge0, which finds most, 30.0\u00a0%" in verdict.headline
    assert "3.0\u00a0% (10.0 times fewer)" in verdict.headline
    assert all(text.endswith("Shown.") for text in verdict.findings)


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        ((4, 0, 2, 19), "direct does not stand apart from the floor of 1.0\u00a0%"),
        ((30, 15, 2, 19), "the intervals of the two overlap"),
        ((60, 13, 2, 19), "4.6 times fewer, 5 are asked for"),
    ],
)
def test_one_judge_who_disagrees_is_enough_and_is_told(judge: tuple[int, int, int, int], why: str) -> None:
    verdict = leak_verdict(leakage((60, 6, 2, 19), judge))
    assert not verdict.shown
    assert verdict.headline.startswith("Not shown at this scale")
    assert verdict.findings[1].startswith("judge1: ")
    assert why in verdict.findings[1]
    assert verdict.findings[0].endswith("Shown.")


def test_no_leak_at_all_is_infinitely_fewer() -> None:
    verdict = leak_verdict(leakage((60, 0, 2, 19)))
    assert verdict.shown
    assert "with one, none of 200." in verdict.headline


def test_a_blind_judge_and_a_missing_arm_are_told() -> None:
    assert "recognises only 25.0\u00a0% of the patients' own" in leak_verdict(leakage((60, 6, 2, 5))).findings[-1]
    empty = leakage((60, 6, 2, 19))
    empty["recognisers"]["judge0"]["direct"] = rate(0, 0)
    verdict = leak_verdict(empty)
    assert not verdict.shown
    assert verdict.headline.startswith("Not measured")
    assert verdict.findings == ["judge0: not measured, no image in direct."]


def test_distances_are_judged_one_by_one() -> None:
    pairs = {
        "disease": {"guided": {"value": 0.01}, "random": {"value": 0.3}},
        "age": {"guided": {"value": 0.3}, "random": {"value": 0.3}},
        "gender": {"guided": {"value": None}, "random": {"value": 0.1}},
    }
    found = distance_findings({"wasserstein": pairs})
    assert "disease: guided 0.010 is nearer" in found[0]
    assert "age: not shown" in found[1]
    assert found[2] == "gender: not measured."
