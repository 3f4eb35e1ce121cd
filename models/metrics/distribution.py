"""Table 2: how far the diseases, ages and genders of a set of images lie from the patients'."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from models.conditions import DISEASES, GENDERS
from models.metrics.cohort_profile import age_bins, age_labels
from models.metrics.wasserstein import bootstrap_interval, total_variation, wasserstein_1

NOMINAL = ("disease", "gender")
NAMES = ("disease", "age", "gender")
Profile = Mapping[str, Any]  # what models.metrics.cohort_profile publishes


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


def estimated_distances(
    images: Attributes, patients: Attributes, *, num_resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return {value, ci95, n} per attribute; value and ci95 are None where there is no image.

    The images are the sample; the patients are the target, and stay fixed.
    """
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "disease": lambda rows: total_variation(
            _counts(images.disease[rows], DISEASES), _counts(patients.disease, DISEASES)
        ),
        "age": lambda rows: wasserstein_1(images.age[rows] / 100, patients.age / 100),
        "gender": lambda rows: total_variation(
            _counts(images.gender[rows], GENDERS), _counts(patients.gender, GENDERS)
        ),
    }
    n = len(images)
    if not n:
        return {name: {"value": None, "ci95": None, "n": 0} for name in NAMES}
    found = {}
    for name, measure in measures.items():
        bounds = bootstrap_interval(measure, n, num_resamples=num_resamples, seed=seed)
        value = round(measure(np.arange(n)), 6)
        found[name] = {"value": value, "ci95": [round(bound, 6) for bound in bounds], "n": n}
    return found


def middle_ages(profile: Profile) -> Float[np.ndarray, " b"]:
    """Return the middle of each age bin in years."""
    edges = np.array(profile["age_edges"], np.float64)
    return (edges[1:] + edges[:-1]) / 2


def planned_distances(planned: Attributes, profile: Profile) -> dict[str, float | None]:
    """Return the distance of planned cells, ages at the middle of their bins, from the published profile."""
    if not len(planned):
        return dict.fromkeys(NAMES)
    weights = np.array([profile["age"][label] for label in age_labels(profile["age_edges"])])
    found = {"age": wasserstein_1(planned.age / 100, middle_ages(profile) / 100, y_weights=weights)}
    for name, index, names in (("disease", planned.disease, DISEASES), ("gender", planned.gender, GENDERS)):
        target = np.array([profile[name][label] for label in names])
        found[name] = total_variation(_counts(index, names), target)
    return {name: round(found[name], 6) for name in NAMES}


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
    patients: Attributes,
    estimated: Mapping[str, Attributes],
    planned: Mapping[str, Attributes],
    profile: Profile,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return Table 2 by attribute and arm, as estimated from the images and as planned, and what it rests on.

    Each arm is compared with the same patients, by the same estimators.
    """
    seen = {
        arm: estimated_distances(images, patients, num_resamples=num_resamples, seed=seed)
        for arm, images in estimated.items()
    }
    meant = {arm: planned_distances(images, profile) for arm, images in planned.items()}
    return {
        "wasserstein": {name: {arm: row[name] for arm, row in seen.items()} for name in NAMES},
        "planned": {name: {arm: row[name] for arm, row in meant.items()} for name in NAMES},
        "total_variation": {name: {arm: row[name]["value"] for arm, row in seen.items()} for name in NOMINAL},
        "histograms": histograms(estimated, profile),
        "n": {"patients": len(patients)} | {arm: len(images) for arm, images in estimated.items()},
    }


def _counts(index: Int[np.ndarray, " n"], names: tuple[str, ...] | list[str]) -> Float[np.ndarray, " k"]:
    return np.bincount(index, minlength=len(names)).astype(np.float64)
