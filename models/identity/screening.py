"""The identity screen of one recogniser: who is near a patient, how near is too near, and Table 1's row."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from models.identity.search import nearest
from models.statistics.leakage import (
    drawn_interval,
    false_match_rate,
    fpir_threshold,
    leak_rate,
    rate_draws,
    threshold_draws,
)


@dataclass(frozen=True)
class Embedded:
    """One recogniser's embeddings of everybody concerned, L2-normalised."""

    patients: Float[np.ndarray, "p d"]
    held_out: np.ndarray  # bool [p]: the photos no training saw
    calibration: Float[np.ndarray, "c d"]  # public faces that set the threshold
    floor: Float[np.ndarray, "f d"]  # other public faces
    samples: Float[np.ndarray, "n d"]


@dataclass(frozen=True)
class Verdict:
    """What one recogniser says of the samples, and its row of Table 1."""

    similarity: Float[np.ndarray, " n"]  # float32, to the nearest patient photo
    threshold: float
    row: dict
    draws: Mapping[str, Float[np.ndarray, " b"]]  # of each rate of the row that has an image

    @property
    def leaks(self) -> np.ndarray:
        """Which samples lie above the threshold."""
        return self.similarity > self.threshold


@dataclass(frozen=True)
class Rule:
    """How thresholds are set and rates are judged."""

    fpir: float
    confidence: float
    bootstrap: int
    seed: int
    block_rows: int


def top_similarity(queries: np.ndarray, gallery: np.ndarray, block_rows: int) -> Float[np.ndarray, " n"]:
    """Return each query's largest similarity, float32; empty where there is no query or nobody to find."""
    if not len(queries) or not len(gallery):
        return np.zeros(0, np.float32)
    # Rounded before any comparison, so that the stored figure and the verdict never disagree.
    return nearest(queries, gallery, block_rows=block_rows)[0].astype(np.float32)


def judge(faces: Embedded, arms: Mapping[str, np.ndarray], rule: Rule) -> Verdict:
    """Calibrate on public faces against every patient photo, then rate each arm, the floor and the ceiling.

    `arms` maps an arm to its samples (bool [n]). The ceiling asks for held-out photos among the other photos
    of the patients; its gallery is smaller than the threshold's, which makes it, if anything, lower. Intervals
    hold the uncertainty of the images and of the threshold, whose calibration faces are few.
    """

    def top(queries: np.ndarray, gallery: np.ndarray) -> Float[np.ndarray, " n"]:
        return top_similarity(queries, gallery, rule.block_rows)

    calibration = top(faces.calibration, faces.patients)
    threshold = fpir_threshold(calibration, rule.fpir)
    others = threshold_draws(calibration, rule.fpir, rule.bootstrap, rule.seed)
    similarity = top(faces.samples, faces.patients)
    rated = {name: similarity[rows] for name, rows in arms.items()}
    rated["floor"] = top(faces.floor, faces.patients)
    rated["ceiling"] = top(faces.patients[faces.held_out], faces.patients[~faces.held_out])
    draws = {
        name: rate_draws(values, others, rule.seed + place)
        for place, (name, values) in enumerate(rated.items())
        if len(values)
    }
    row = {
        "threshold": threshold.value, "fpir": round(threshold.fpir, 6),
        "fpir_ci95": [round(bound, 6) for bound in threshold.interval(rule.confidence)],
        "threshold_ci95": drawn_interval(others, rule.confidence),
        "num_calibration": threshold.num_calibration,
        "fmr": float(f"{false_match_rate(faces.calibration, faces.patients, threshold.value):.1e}"),
    }  # fmt: skip
    for name, values in rated.items():
        row[name] = leak_rate(values, threshold.value, rule.confidence)
        if name in draws:
            low, high = drawn_interval(draws[name], rule.confidence)
            rate = row[name]["rate"]
            row[name]["ci95"] = [low if rate else 0.0, high if rate < 1 else 1.0]
    return Verdict(similarity, threshold.value, row, draws)


def floor_faults(rows: Mapping[str, Mapping], fpir: float) -> list[str]:
    """Say which recogniser's threshold is reached by more strangers than it was set for, beyond doubt."""
    return [
        f"{name}: {row['floor']['leaked']} of {row['floor']['n']} other public faces "
        f"({row['floor']['rate']:.1%}, {row['floor']['ci95'][0]:.1%} to {row['floor']['ci95'][1]:.1%}) lie above the "
        f"threshold, {fpir:.1%} were to"
        for name, row in rows.items()
        if row["floor"]["n"] and row["floor"]["ci95"][0] > fpir
    ]


def reasons(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return "" for what every recogniser lets pass, else 'resembles_patient:' and the one that is surest."""
    names = list(verdicts)
    excess = np.stack([v.similarity.astype(np.float64) - v.threshold for v in verdicts.values()])
    surest = excess.argmax(axis=0)
    return [
        f"resembles_patient:{names[k]}" if margin > 0 else ""
        for k, margin in zip(surest, excess.max(axis=0), strict=True)
    ]
