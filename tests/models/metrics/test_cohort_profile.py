"""The published profile is right where it may be exact, and never speaks of fewer than k patients."""

import numpy as np
import pytest

from models.conditions import DISEASES, GENDERS
from models.metrics.cohort_profile import age_bins, age_labels, cohort_profile, safe_groups

EDGES = (0, 20, 40, 60, 80, 101)


def profile(rows, k):
    patients, diseases, ages, genders = zip(*rows, strict=True)
    return cohort_profile(patients, diseases, np.array(ages, float), genders, age_edges=EDGES, min_cell=k)


def margin(value, key):
    return {
        name: sum(c["p"] for c in value["joint"] if c[key] == name)
        for name in {c[key] for c in value["joint"]}
    }


def test_a_large_cohort_is_told_exactly():
    rows = [(f"{c}{i}", *c) for c in [("bcc", 70, "male"), ("tao", 30, "female")] for i in range(5)]
    value = profile(rows * 2, 3)
    assert value["joint"] == [
        {"disease": "bcc", "age_bin": "60-80", "gender": "male", "p": 0.5},
        {"disease": "tao", "age_bin": "20-40", "gender": "female", "p": 0.5},
    ]
    assert value["n"] == 20
    assert value["cells_told_exactly"] == 2


def test_many_photos_of_one_patient_are_one_patient():
    rows = [("lonely", "scc", 30, "male")] * 50
    rows += [(f"a{i}", "bcc", 30, "male") for i in range(5)] + [
        (f"b{i}", "tao", 30, "male") for i in range(6)
    ]
    value = profile(rows, 3)
    assert value["disease"]["scc"] == value["disease"]["bcc"] == pytest.approx(55 / 2 / 61)
    assert value["disease"]["tao"] == pytest.approx(6 / 61)


def test_what_is_left_over_after_subtraction_has_k_patients_too():
    rows = [(f"a{i}", "bcc", 30, "male") for i in range(5)] + [("x", "bcc", 70, "male")]
    rows += [(f"b{i}", "tao", 70, "male") for i in range(5)]
    value = profile(rows, 3)
    told = {(c["disease"], c["age_bin"]): c["p"] for c in value["joint"]}
    assert value["cells_told_exactly"] == 0
    assert told["bcc", "60-80"] != pytest.approx(1 / 11)


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_keeps_its_margins_and_sums_to_one(seed):
    rng = np.random.default_rng(seed)
    rows = [
        (
            f"p{rng.integers(120)}",
            DISEASES[rng.integers(8)],
            float(rng.uniform(0, 100)),
            GENDERS[rng.integers(2)],
        )
        for _ in range(400)
    ]
    value = profile(rows, 3)
    assert sum(cell["p"] for cell in value["joint"]) == pytest.approx(1, abs=1e-5)
    for key, table in (("disease", "disease"), ("age_bin", "age"), ("gender", "gender")):
        for name, share in margin(value, key).items():
            assert share == pytest.approx(value[table][name], abs=1e-4)


def test_groups_merge_until_safe():
    people = [{1, 2, 3}, {4}, set(), {5, 6}, {7, 8, 9, 10}]
    assert safe_groups(people, 3, ordered=True) == [[0], [1, 3], [2], [4]]
    with pytest.raises(ValueError, match="more than the cohort's 1 patients"):
        safe_groups([{1}, set()], 2, ordered=False)


def test_bins_hold_their_lower_edge():
    assert age_labels(EDGES) == ["0-20", "20-40", "40-60", "60-80", "80-101"]
    assert age_bins(np.array([0, 19.9, 20, 100, 120, -1]), EDGES).tolist() == [0, 0, 1, 4, 4, 0]
