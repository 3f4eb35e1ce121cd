"""Table 2: how far the diseases, ages and genders of a set of images lie from the published profile's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from models.cohort.cohort_profile import age_bins, age_labels
from models.diseases import DISEASES, GENDERS
from models.statistics.wasserstein import bootstrap_interval, total_variation, wasserstein_1

NOMINAL = ("disease", "gender")
NAMES = ("disease", "age", "gender")
Profile = Mapping[str, Any]  # what models.cohort.cohort_profile publishes


@dataclass(frozen=True)
class Attributes:
    """What Table 2 compares of n images."""

    disease: Int[np.ndarray, " n"]  # index into DISEASES
    age: Float[np.ndarray, " n"]  # years
    gender: Int[np.ndarray, " n"]  # index into GENDERS

    def __getitem__(self, rows: np.ndarray) -> "Attributes":
        return Attributes(self.disease[rows], self.age[rows], self.gender[rows])

    def __len__(self) -> int:
        return len(self.age)


@dataclass(frozen=True)
class Target:
    """Shares that images are compared with; ages are values with weights."""

    disease: Float[np.ndarray, " d"]
    age: Float[np.ndarray, " a"]  # years
    age_weights: Float[np.ndarray, " a"]
    gender: Float[np.ndarray, " g"]


def published(profile: Profile) -> Target:
    """Return the profile as a target; an age stands for the middle of its bin."""
    return Target(
        np.array([profile["disease"][name] for name in DISEASES]),
        middle_ages(profile),
        np.array([profile["age"][label] for label in age_labels(profile["age_edges"])]),
        np.array([profile["gender"][name] for name in GENDERS]),
    )


def exactly(patients: Attributes) -> Target:
    """Return the patients themselves as a target: what comes of it tells of them, and stays in the hospital."""
    return Target(
        _counts(patients.disease, DISEASES), patients.age, np.ones(len(patients)), _counts(patients.gender, GENDERS)
    )


def in_bins(images: Attributes, profile: Profile) -> Attributes:
    """Put each age into the middle of its bin, as the profile does."""
    middles = middle_ages(profile)[age_bins(images.age, profile["age_edges"])]
    return Attributes(images.disease, middles, images.gender)


def distances(images: Attributes, target: Target) -> dict[str, float]:
    """Return Wasserstein-1 per attribute: ages in years / 100, disease and gender by the discrete metric."""
    return {
        "disease": total_variation(_counts(images.disease, DISEASES), target.disease),
        "age": wasserstein_1(images.age / 100, target.age / 100, y_weights=target.age_weights),
        "gender": total_variation(_counts(images.gender, GENDERS), target.gender),
    }


def estimated_distances(
    images: Attributes, target: Target, *, num_resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return {value, ci95, n} per attribute; value and ci95 are None where there is no image.

    The images are the sample; the target stays fixed.
    """
    n = len(images)
    if not n:
        return {name: {"value": None, "ci95": None, "n": 0} for name in NAMES}
    found = {}
    for name, value in distances(images, target).items():

        def measure(rows: np.ndarray, name: str = name) -> float:
            return distances(images[rows], target)[name]

        bounds = bootstrap_interval(measure, n, num_resamples=num_resamples, seed=seed)
        found[name] = {"value": round(value, 6), "ci95": [round(bound, 6) for bound in bounds], "n": n}
    return found


def middle_ages(profile: Profile) -> Float[np.ndarray, " b"]:
    """Return the middle of each age bin in years."""
    edges = np.array(profile["age_edges"], np.float64)
    return (edges[1:] + edges[:-1]) / 2


def planned_distances(planned: Attributes, profile: Profile) -> dict[str, float | None]:
    """Return the distance of planned cells, ages at the middle of their bins, from the published profile."""
    if not len(planned):
        return dict.fromkeys(NAMES)
    return {name: round(value, 6) for name, value in distances(planned, published(profile)).items()}


def histograms(arms: Mapping[str, Attributes], profile: Profile) -> dict[str, dict[str, Any]]:
    """Return each arm's shares by category beside the patients', of whom no more than the profile is told."""
    edges = profile["age_edges"]
    found: dict[str, dict[str, Any]] = {name: {"patients": profile[name]} for name in NAMES}
    for arm, seen in arms.items():
        for name, index, names in (
            ("disease", seen.disease, DISEASES),
            ("age", age_bins(seen.age, edges), age_labels(edges)),
            ("gender", seen.gender, GENDERS),
        ):
            shares = _counts(index, names) / max(len(seen), 1)
            found[name][arm] = {label: round(float(s), 6) for label, s in zip(names, shares, strict=True)}
    return found


def table_2(
    estimated: Mapping[str, Attributes],
    planned: Mapping[str, Attributes],
    profile: Profile,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return Table 2 by attribute and arm, as estimated from the images and as planned.

    Both are compared with the published profile, so the table tells no more of the patients than that does.
    """
    seen = {
        arm: estimated_distances(in_bins(images, profile), published(profile), num_resamples=num_resamples, seed=seed)
        for arm, images in estimated.items()
    }
    meant = {arm: planned_distances(images, profile) for arm, images in planned.items()}
    return {
        "wasserstein": _by_name(seen),
        "planned": _by_name(meant),
        "total_variation": {name: {arm: row[name]["value"] for arm, row in seen.items()} for name in NOMINAL},
        "histograms": histograms(estimated, profile),
        "profile_error": profile["privacy"]["expected_total_variation"],
        "n": {arm: len(images) for arm, images in estimated.items()},
    }


def exact_table_2(
    patients: Attributes, estimated: Mapping[str, Attributes], *, num_resamples: int, seed: int
) -> dict[str, Any]:
    """Return the distances from the patients themselves, by the same estimators; for the hospital's eyes alone."""
    target = exactly(patients)
    found = {
        arm: estimated_distances(images, target, num_resamples=num_resamples, seed=seed)
        for arm, images in estimated.items()
    }
    return {"wasserstein": _by_name(found), "n": {"patients": len(patients)}}


def _by_name(by_arm: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {arm: row[name] for arm, row in by_arm.items()} for name in NAMES}


def _counts(index: Int[np.ndarray, " n"], names: tuple[str, ...] | list[str]) -> Float[np.ndarray, " k"]:
    return np.bincount(index, minlength=len(names)).astype(np.float64)
