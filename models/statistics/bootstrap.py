"""Percentile bootstrap of a mean."""

from typing import Any

import numpy as np
from jaxtyping import Float


def mean_with_interval(
    values: Float[np.ndarray, " n"], *, seed: int, num_resamples: int = 1000, confidence: float = 0.95
) -> dict[str, Any]:
    """Return {value, n, ci95}; value and interval are None where there is nothing, the interval also of one."""
    n = len(values)
    if not n:
        return {"value": None, "n": 0, "ci95": [None, None]}
    mean = round(float(np.mean(values)), 4)
    if n == 1:
        return {"value": mean, "n": 1, "ci95": [None, None]}
    rng = np.random.default_rng([seed, n])
    means = [values[rng.integers(n, size=n)].mean() for _ in range(num_resamples)]
    tail = (1 - confidence) / 2
    return {"value": mean, "n": n, "ci95": [round(float(q), 4) for q in np.quantile(means, (tail, 1 - tail))]}
