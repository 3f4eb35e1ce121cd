"""Table 2 in a world small enough to compute by hand."""

import numpy as np
import pytest

from models.cohort.distribution import (
    Attributes,
    estimated_distances,
    exact_table_2,
    exactly,
    histograms,
    planned_distances,
    table_2,
)
from models.diseases import DISEASES, GENDERS
from tests.toys.profile import exact_profile

EDGES = (0, 20, 40, 60, 80, 101)


def people(*rows: tuple[str, float, str]) -> Attributes:
    diseases, ages, genders = zip(*rows, strict=True) if rows else ((), (), ())
    return Attributes(
        np.array([DISEASES.index(d) for d in diseases], np.int64),
        np.array(ages, np.float64),
        np.array([GENDERS.index(g) for g in genders], np.int64),
    )


PATIENTS = [("bcc", 30, "female")] * 2 + [("bcc", 70, "male"), ("tao", 70, "female")]
DISEASE, AGE, GENDER = zip(*PATIENTS, strict=True)
PROFILE = exact_profile(DISEASE, np.array(AGE, float), GENDER, EDGES)
GUIDED = [("bcc", 32, "female"), ("normal", 32, "female"), ("bcc", 72, "male"), ("tao", 72, "female")]
RANDOM = [("normal", 30, "male"), ("bcc", 30, "male")]


def distances(images: Attributes) -> dict:
    return estimated_distances(images, exactly(people(*PATIENTS)), num_resamples=50, seed=1)


def test_estimated_distances_by_hand():
    guided, random = distances(people(*GUIDED)), distances(people(*RANDOM))
    # One image of four is normal, every age is two years off, genders agree.
    assert [guided[name]["value"] for name in ("disease", "age", "gender")] == [0.25, 0.02, 0.0]
    # 1/2 normal; half of the patients are 40 years older; three of four patients are women, no image is.
    assert [random[name]["value"] for name in ("disease", "age", "gender")] == [0.5, 0.2, 0.75]
    assert random["gender"] == {"value": 0.75, "ci95": [0.75, 0.75], "n": 2}
    low, high = guided["disease"]["ci95"]
    assert 0 <= low <= 0.25 < high <= 1


def test_planned_ages_lie_in_the_middle_of_their_bins_on_both_sides():
    exact = people(*PATIENTS)
    assert planned_distances(exact, PROFILE) == {"disease": 0.0, "age": 0.0, "gender": 0.0}
    late = people(("bcc", 30, "female"), ("bcc", 30, "female"), ("bcc", 90.5, "male"), ("tao", 70, "female"))
    assert planned_distances(late, PROFILE)["age"] == pytest.approx(0.25 * 0.205)


def test_histograms_tell_no_more_of_the_patients_than_the_profile():
    found = histograms({"guided": people(*GUIDED)}, PROFILE)
    for name in ("disease", "age", "gender"):
        assert found[name]["patients"] == PROFILE[name]
        assert sum(found[name]["guided"].values()) == pytest.approx(1)
        assert found[name]["guided"].keys() == PROFILE[name].keys()
    assert found["age"]["guided"] == {"0-20": 0.0, "20-40": 0.5, "40-60": 0.0, "60-80": 0.5, "80-101": 0.0}


def test_the_table_has_every_arm_and_repeats_the_nominal_distances_as_total_variation():
    arms = {"random": people(), "guided": people(*GUIDED)}
    table = table_2(arms, arms, PROFILE, num_resamples=50, seed=1)
    assert table["n"] == {"random": 0, "guided": 4}
    assert table["wasserstein"]["age"]["random"] == {"value": None, "ci95": None, "n": 0}
    assert table["planned"]["age"]["random"] is None
    assert table["total_variation"] == {
        name: {arm: table["wasserstein"][name][arm]["value"] for arm in arms} for name in ("disease", "gender")
    }


def test_the_published_table_hangs_on_the_profile_alone_and_the_exact_one_on_the_patients():
    """The images lie two years from the patients, which the bins of the profile do not tell."""
    arms = {"guided": people(*GUIDED)}
    table = table_2(arms, arms, PROFILE, num_resamples=50, seed=1)
    assert table["wasserstein"]["age"]["guided"]["value"] == 0.0
    assert table["wasserstein"]["disease"]["guided"]["value"] == 0.25
    assert "patients" not in table["n"]
    exact = exact_table_2(people(*PATIENTS), arms, num_resamples=50, seed=1)
    assert exact["wasserstein"]["age"]["guided"]["value"] == 0.02
    assert exact["n"] == {"patients": 4}
