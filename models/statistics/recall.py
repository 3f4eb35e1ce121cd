"""Top-1 by class: the recall of each, their mean, and the share of all images, with intervals (Table 3)."""

from typing import Any

import numpy as np
from jaxtyping import Int

from models.statistics.leakage import wilson_interval


def share_with_interval(hits: int, n: int) -> dict[str, Any]:
    """Return {value, n, ci95} of a share by Wilson's interval; all None but n where there is no image."""
    if not n:
        return {"value": None, "n": 0, "ci95": [None, None]}
    return {"value": round(hits / n, 4), "n": n, "ci95": [round(end, 4) for end in wilson_interval(hits, n)]}


def top1(
    found: Int[np.ndarray, " n"],
    truth: Int[np.ndarray, " n"],
    classes: tuple[str, ...],
    *,
    seed: int,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Return each class's recall, `all` (the mean over the classes present: Table 3's All) and `micro`.

    The interval of `all` is a bootstrap within classes: a resample keeps the number of images of each.
    """
    if found.shape != truth.shape:
        raise ValueError(f"found: {found.shape} answers for {truth.shape} truths; give one an image")
    right = found == truth
    groups = [right[truth == k] for k in range(len(classes))]
    present = [group for group in groups if len(group)]
    report = {
        name: share_with_interval(int(group.sum()), len(group)) for name, group in zip(classes, groups, strict=True)
    }
    report["all"] = _macro(present, seed, num_resamples, confidence)
    report["micro"] = share_with_interval(int(right.sum()), len(right))
    return report


def _macro(groups: list[np.ndarray], seed: int, num_resamples: int, confidence: float) -> dict[str, Any]:
    n = sum(map(len, groups))
    if not groups:
        return {"value": None, "n": 0, "ci95": [None, None]}
    rng = np.random.default_rng([seed, n])
    # The mean of a resample of k zeros and ones is binomial.
    hits = [rng.binomial(len(group), group.mean(), num_resamples) / len(group) for group in groups]
    tail = (1 - confidence) / 2
    ends = np.quantile(np.mean(hits, 0), (tail, 1 - tail))
    value = float(np.mean([group.mean() for group in groups]))
    return {"value": round(value, 4), "n": n, "ci95": [round(float(end), 4) for end in ends]}
