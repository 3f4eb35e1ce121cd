"""A reader of known skill: whom he mistakes for whom, how he rejects, grades and outlines.

He stands in for a clinician where there is none, so what he says is simulated and measures nothing about
people. What he is right or wrong about is given: a disease, whether the image is of low quality, a mask.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float

from models.annotation.opinion import CONFIDENCES, LOW, QUALITY_REASONS, USABLE
from models.diseases import DISEASES, ROWS, SEVERITIES, TUMOURS
from models.segmentation.masks import iou

SURE = {True: (0.05, 0.25, 0.7), False: (0.4, 0.4, 0.2)}  # chances of CONFIDENCES if right, and if wrong
COMMENT_SHARE, COMMENT = 0.02, "simulated remark"
MEDIAN_SECONDS, SPREAD_SECONDS = 9.0, 0.5


@dataclass(frozen=True)
class Skill:
    """What is known of a reader; shares from 0 to 1, lengths as shares of the square root of a mask's area."""

    accuracy: float  # how likely the true disease is named
    lookalikes: float  # share of the mistakes that fall on what looks alike, the rest on any other disease
    severity_accuracy: float
    false_low: float  # how likely a usable image is rejected
    true_low: float  # how likely an image of low quality is
    mask_shift: float  # standard deviation of a mask's displacement in x and in y
    mask_growth: float  # standard deviation of how far its edge lies outside the true one
    accept_iou: float  # a proposed mask is accepted as it is from this IoU with the mask he has in mind
    skip_share: float


@dataclass(frozen=True, eq=False)
class Case:
    """One image as it is in truth; the proposal is the mask that the machine shows to whoever asks."""

    disease: str
    severity: str
    is_low: bool
    mask: Bool[np.ndarray, "h w"] | None
    proposal: Bool[np.ndarray, "h w"] | None


def confusion(skill: Skill) -> Float[np.ndarray, "k k"]:
    """Return P(said | true) over DISEASES, true ones in rows; each row sums to one."""
    matrix = np.zeros((len(DISEASES), len(DISEASES)))
    for true, row, known in zip(DISEASES, matrix, ROWS, strict=True):
        alike = [DISEASES.index(name) for name in known.alike]
        others = [index for index, name in enumerate(DISEASES) if name != true]
        row[others] += (1 - skill.accuracy) * (1 - skill.lookalikes) / len(others)
        row[alike] += (1 - skill.accuracy) * skill.lookalikes / len(alike)
        row[DISEASES.index(true)] = skill.accuracy
    return matrix


def read_case(case: Case, skill: Skill, rng: np.random.Generator) -> dict[str, Any] | None:
    """Return what the reader says, named as in Opinion with a single `mask`; None where he skips the task."""
    skips, low_draw, comment_draw = rng.random(3)
    truth = DISEASES.index(case.disease)
    disease = DISEASES[int(rng.choice(len(DISEASES), p=confusion(skill)[truth]))]
    said: dict[str, Any] = {
        "confidence": str(rng.choice(CONFIDENCES, p=SURE[disease == case.disease])),
        "comment": COMMENT if comment_draw < COMMENT_SHARE else "",
        "lead_time_seconds": round(float(MEDIAN_SECONDS * np.exp(SPREAD_SECONDS * rng.normal())), 2),
        "mask": None,
    }
    if skips < skill.skip_share:
        return None
    if low_draw < (skill.true_low if case.is_low else skill.false_low):
        return said | {"quality": LOW, "quality_reason": str(rng.choice(QUALITY_REASONS))}
    said |= {"quality": USABLE, "disease": disease}
    if disease != "normal":
        said["severity"] = _severity(case.severity, skill, rng)
    if disease in TUMOURS and case.mask is not None and case.mask.any():
        said["mask"] = outline(case.mask, case.proposal, skill, rng)
    return said


def _severity(true: str, skill: Skill, rng: np.random.Generator) -> str:
    """Return the true severity, or a neighbour of it; any where there is none to be seen."""
    if true not in SEVERITIES:
        return str(rng.choice(SEVERITIES))
    level = SEVERITIES.index(true)
    if rng.random() >= skill.severity_accuracy:
        level += 1 if level == 0 else -1 if level == len(SEVERITIES) - 1 else int(rng.choice((-1, 1)))
    return SEVERITIES[level]


def outline(
    mask: Bool[np.ndarray, "h w"], proposal: Bool[np.ndarray, "h w"] | None, skill: Skill, rng: np.random.Generator
) -> Bool[np.ndarray, "h w"]:
    """Return the mask he hands in: the proposal as it is where it is near the one in his mind, else that."""
    meant = jitter(mask, skill.mask_shift, skill.mask_growth, rng)
    if proposal is not None and proposal.any() and iou(meant, proposal) >= skill.accept_iou:
        return proposal
    return meant


def jitter(
    mask: Bool[np.ndarray, "h w"], shift: float, growth: float, rng: np.random.Generator
) -> Bool[np.ndarray, "h w"]:
    """Return the mask displaced and grown or shrunk at random, by shares of the root of its area; never empty."""
    size = float(np.sqrt(mask.sum()))
    dx, dy = rng.normal(0, shift * size, 2)
    distance = _signed_distance(mask)
    moved = cv2.warpAffine(
        distance,
        np.array([[1, 0, dx], [0, 1, dy]], np.float32),
        mask.shape[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    grown = moved > -rng.normal(0, growth * size)
    return grown if grown.any() else mask.copy()


def _signed_distance(mask: Bool[np.ndarray, "h w"]) -> np.ndarray:
    """Return how deep inside the mask a pixel lies, in px; negative outside, zero on the edge."""
    inside, outside = (
        cv2.distanceTransform(np.pad(part.astype(np.uint8), 1, constant_values=fill), cv2.DIST_L2, 5)
        for part, fill in ((mask, 0), (~mask, 1))
    )
    return (inside - outside)[1:-1, 1:-1].astype(np.float32) - np.where(mask, 0.5, -0.5).astype(np.float32)
