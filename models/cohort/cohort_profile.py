"""A cohort's statistics for publication: differentially private by patient, so that versions cannot be subtracted."""

import hashlib
import hmac
import json
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from models.cohort.private_counts import at_least, mean_absolute_noise, private_counts, shares_of_epsilon
from models.diseases import DISEASES, GENDERS

ITERATIONS = 500
UNTOLD = 1e-3  # the share of the joint that cells not told keep at least
TINY = 1e-15
CLOSE = 1e-12
AXES = ("disease", "age", "gender")
NEIGHBOURS = "one patient more or less, with all photos; a patient counts once, by one photo"


@dataclass(frozen=True)
class Mechanism:
    """How a profile is made private: its cost, how much of it the joint gets, and the smallest count told."""

    epsilon: float
    joint_share: float  # 0: the joint is the margins' product
    min_cell: int
    age_edges: tuple[int, ...]


def age_labels(edges: Sequence[int]) -> list[str]:
    """Return one label per bin: "20-40" means 20 <= age < 40."""
    return [f"{low}-{high}" for low, high in pairwise(edges)]


def age_bins(ages: Float[np.ndarray, " n"], edges: Sequence[int]) -> np.ndarray:
    """Return each age's bin index; ages outside the edges go to the nearest bin."""
    return np.clip(np.searchsorted(edges, ages, side="right") - 1, 0, len(edges) - 2)


def one_photo_each(patients: Sequence[Hashable], photos: Sequence[str]) -> list[int]:
    """Return the row of each patient's photo of the smallest id, which is as good as drawn by lot (a digest).

    The choice rests on the patient's own photos alone: nobody else's presence changes it.
    """
    chosen: dict[Hashable, int] = {}
    for row, (patient, photo) in enumerate(zip(patients, photos, strict=True)):
        if patient not in chosen or photo < photos[chosen[patient]]:
            chosen[patient] = row
    return sorted(chosen.values())


def cells_of(
    diseases: Sequence[str], ages: Float[np.ndarray, " n"], genders: Sequence[str], edges: Sequence[int]
) -> Int[np.ndarray, "n 3"]:
    """Return each photo's disease, age bin and gender as indices."""
    return np.stack(
        [[DISEASES.index(d) for d in diseases], age_bins(ages, edges), [GENDERS.index(g) for g in genders]], 1
    )


def version_of(patients: Sequence[Hashable], cells: Int[np.ndarray, "n 3"], mechanism: Mechanism, key: bytes) -> bytes:
    """Return 32 bytes that differ where any patient, cell or setting does, and tell nothing without the key.

    Noise drawn from them is fresh for every change of the data: noise of the key alone would be the same in two
    versions and fall out of their difference. For the same data it is the same, so that publishing again gives
    nobody a second draw to average.
    """
    rows = sorted([str(patient), *cell] for patient, cell in zip(patients, cells.tolist(), strict=True))
    return hmac.digest(key, json.dumps([rows, asdict(mechanism)]).encode(), hashlib.sha256)


def noisy_margins(
    counts: Int[np.ndarray, "d a g"], mechanism: Mechanism, noise_key: bytes
) -> tuple[list[Int[np.ndarray, " k"]], tuple[float, ...]]:
    """Return the three margins with noise, which may be negative, and the epsilon that each costs."""
    parts = shares_of_epsilon(counts.shape, mechanism.epsilon * (1 - mechanism.joint_share))
    margins = [
        private_counts(counts.sum(axis=_others(axis)), noise_key, name, epsilon)
        for axis, (name, epsilon) in enumerate(zip(AXES, parts, strict=True))
    ]
    return margins, parts


def counts_of(cells: Int[np.ndarray, "n 3"], mechanism: Mechanism) -> Int[np.ndarray, "d a g"]:
    """Return how many patients each cell has."""
    counts = np.zeros((len(DISEASES), len(mechanism.age_edges) - 1, len(GENDERS)), np.int64)
    np.add.at(counts, tuple(cells.T), 1)
    return counts


def cohort_profile(cells: Int[np.ndarray, "n 3"], mechanism: Mechanism, noise_key: bytes) -> dict[str, Any]:
    """Return P(disease), P(age), P(gender) and their joint, from one row a patient and `version_of` as the key.

    Everything told is a function of noisy counts: three margins and, if joint_share is above 0, the joint. The
    joint is fitted to the margins; its cells under min_cell noisy patients follow from the margins alone.
    """
    if len(cells) < mechanism.min_cell:
        raise ValueError(
            f"profile_cohort.min_cell: {mechanism.min_cell} is more than the cohort's {len(cells)} patients; "
            "ingest more, or lower it"
        )
    counts = counts_of(cells, mechanism)
    margins, errors = [], {}
    for name, noisy, epsilon in zip(AXES, *noisy_margins(counts, mechanism, noise_key), strict=True):
        told = at_least(noisy, mechanism.min_cell)
        if not (total := float(told.sum())):
            raise ValueError(
                f"profile_cohort.epsilon: {mechanism.epsilon:g} leaves no count of {name} above the noise; raise "
                "it, or ingest more patients"
            )
        errors[name] = round(min(1.0, len(told) * mean_absolute_noise(epsilon) / 2 / total), 3)
        margins.append(told / total)
    return _as_json(margins, fit(margins, _told(counts, mechanism, noise_key)), errors, mechanism)


def _told(counts: Int[np.ndarray, "d a g"], mechanism: Mechanism, key: bytes) -> Float[np.ndarray, "d a g"]:
    """Return the shares of the joint's cells of at least min_cell noisy patients, 0 elsewhere."""
    if not mechanism.joint_share:
        return np.zeros(counts.shape)
    noisy = private_counts(counts, key, "joint", mechanism.epsilon * mechanism.joint_share)
    told = np.where(noisy >= mechanism.min_cell, noisy, 0)
    return told / max(int(noisy.sum()), int(told.sum()), 1)


def fit(margins: Sequence[Float[np.ndarray, " k"]], told: Float[np.ndarray, "d a g"]) -> Float[np.ndarray, "d a g"]:
    """Return a joint of exactly these margins, shaped by the shares told (iterative proportional fitting).

    Cells that are not told begin as the margins' product. They keep a little in any case, so that no category is
    without a cell to hold its margin.
    """
    product = np.einsum("d,a,g->dag", *margins)
    joint = np.where(told > 0, told, product)
    rest = told == 0
    if told.any() and rest.any():
        joint[rest] *= max(1 - told.sum(), UNTOLD) / max(product[rest].sum(), TINY)
    joint[product == 0] = 0
    for _ in range(ITERATIONS):
        if max(np.abs(joint.sum(axis=_others(axis)) - m).max() for axis, m in enumerate(margins)) < CLOSE:
            break
        for axis, margin in enumerate(margins):
            now = joint.sum(axis=_others(axis))
            factor = np.divide(margin, now, out=np.zeros_like(margin), where=now > TINY)
            joint *= np.expand_dims(factor, _others(axis))
    return joint


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(len(AXES)) if other != axis)


def _as_json(
    margins: Sequence[np.ndarray], joint: np.ndarray, errors: dict[str, float], mechanism: Mechanism
) -> dict[str, Any]:
    names = (DISEASES, age_labels(mechanism.age_edges), GENDERS)
    tables = {
        axis: {name: round(float(p), 8) for name, p in zip(labels, margin, strict=True)}
        for axis, labels, margin in zip(AXES, names, margins, strict=True)
    }
    cells = [
        {"disease": names[0][d], "age_bin": names[1][a], "gender": names[2][g], "p": round(float(joint[d, a, g]), 8)}
        for d, a, g in np.argwhere(joint > 1e-8)
    ]
    privacy = {
        "mechanism": "discrete Laplace noise on counts of patients", "epsilon": mechanism.epsilon,
        "joint_share": mechanism.joint_share, "neighbours": NEIGHBOURS, "expected_total_variation": errors,
    }  # fmt: skip
    return {
        "age_edges": list(mechanism.age_edges), "min_cell": mechanism.min_cell, "privacy": privacy,
        "joint": cells, **tables,
    }  # fmt: skip
