"""Whether a sign that was asked for can be read from the picture: a judge's answers, counted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from models.diseases import DISEASES, SEVERITIES
from models.statistics.leakage import wilson_interval


def legibility(asked: Int[np.ndarray, " n"], severity: Sequence[str], judged: Int[np.ndarray, " n"]) -> dict[str, Any]:
    """Return how often the judge names the disease asked for, by severity, by disease and by both.

    `asked` and `judged` are indices into DISEASES. `macro_accuracy` of a severity is the mean over the
    `macro_diseases` that have an image in it; the normal images count in each.
    """
    level_of, hit = np.array(severity, str), asked == judged
    normal = asked == DISEASES.index("normal")
    cells, macro, present = {}, {}, {}
    for level in SEVERITIES:
        rows = (level_of == level) | normal
        cells[level] = {name: _rate(hit[rows & (asked == k)]) for k, name in enumerate(DISEASES)}
        means = [hit[rows & (asked == k)].mean() for k in np.unique(asked[rows])]
        macro[level] = round(float(np.mean(means)), 6) if means else None
        present[level] = len(means)
    confusion = np.zeros((len(DISEASES), len(DISEASES)), np.int64)
    np.add.at(confusion, (asked, judged), 1)
    return {
        "judged": True,
        "n": len(asked),
        "severity": {level: _rate(hit[level_of == level]) for level in SEVERITIES},
        "disease": {name: _rate(hit[asked == k]) for k, name in enumerate(DISEASES)},
        "severity_disease": cells,
        "macro_accuracy": macro,
        "macro_diseases": present,
        "confusion": {"diseases": list(DISEASES), "asked_by_judged": confusion.tolist()},
    }


def _rate(hit: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    interval = [round(bound, 6) for bound in wilson_interval(int(hit.sum()), len(hit))]
    return {"n": len(hit), "rate": round(float(hit.mean()), 6) if len(hit) else None, "ci95": interval}
