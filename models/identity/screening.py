"""The identity screen of one recogniser: who is near a patient, how near is too near, and Table 1's row."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from models.identity.leakage import false_match_rate, fpir_threshold, leak_rate, wilson_interval
from models.identity.search import nearest


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

    @property
    def leaks(self) -> np.ndarray:
        """Which samples lie above the threshold."""
        return self.similarity > self.threshold


def judge(
    faces: Embedded, arms: Mapping[str, np.ndarray], *, fpir: float, confidence: float, block_rows: int
) -> Verdict:
    """Calibrate on public faces against every patient photo, then rate each arm, the floor and the ceiling.

    `arms` maps an arm to its samples (bool [n]). The ceiling asks for held-out photos among the other photos
    of the patients; its gallery is smaller than the threshold's, which makes it, if anything, lower.
    """

    def top(queries: np.ndarray, gallery: np.ndarray) -> Float[np.ndarray, " n"]:
        if not len(queries) or not len(gallery):
            return np.zeros(0, np.float32)
        # Rounded before any comparison, so that the stored figure and the verdict never disagree.
        return nearest(queries, gallery, block_rows=block_rows)[0].astype(np.float32)

    threshold = fpir_threshold(top(faces.calibration, faces.patients), fpir)
    similarity = top(faces.samples, faces.patients)
    rated = {name: similarity[rows] for name, rows in arms.items()}
    rated["floor"] = top(faces.floor, faces.patients)
    rated["ceiling"] = top(faces.patients[faces.held_out], faces.patients[~faces.held_out])
    low, high = wilson_interval(threshold.num_hits, threshold.num_calibration, confidence)
    row = {
        "threshold": threshold.value, "fpir": round(threshold.fpir, 6),
        "fpir_ci95": [round(low, 6), round(high, 6)],
        "num_calibration": threshold.num_calibration,
        "fmr": round(false_match_rate(faces.calibration, faces.patients, threshold.value), 9),
    }  # fmt: skip
    row |= {name: leak_rate(values, threshold.value, confidence) for name, values in rated.items()}
    return Verdict(similarity, threshold.value, row)


def reasons(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return "" for what every recogniser lets pass, else 'resembles_patient:' and the one that is surest."""
    names = list(verdicts)
    excess = np.stack([v.similarity.astype(np.float64) - v.threshold for v in verdicts.values()])
    surest = excess.argmax(axis=0)
    return [
        f"resembles_patient:{names[k]}" if margin > 0 else ""
        for k, margin in zip(surest, excess.max(axis=0), strict=True)
    ]
