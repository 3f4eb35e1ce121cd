"""How far two distributions of an attribute lie apart, and how sure that is (Table 2)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import wasserstein_distance


def wasserstein_1(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " m"],
    x_weights: Float[np.ndarray, " n"] | None = None,
    y_weights: Float[np.ndarray, " m"] | None = None,
) -> float:
    """Return Wasserstein-1 of two weighted samples on the line: the area between their CDFs (Table 2).

    Ages come in years / 100, so that 0.01 is a year. Weights need not sum to one.
    """
    if len(x) == 0 or len(y) == 0:
        raise ValueError(f"wasserstein_1: samples of {len(x)} and {len(y)} values; both need at least one")
    return float(wasserstein_distance(x, y, x_weights, y_weights))


def total_variation(p: Float[np.ndarray, " k"], q: Float[np.ndarray, " k"]) -> float:
    """Return half the L1 distance of two distributions over the same categories, given as weights.

    It is their Wasserstein-1 under the discrete metric, in which any two categories lie 1 apart.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if p.shape != q.shape or (p < 0).any() or (q < 0).any() or not (p.sum() > 0 and q.sum() > 0):
        raise ValueError("total_variation: both need weights of the same categories, at least 0, not all 0")
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def bootstrap_interval(
    statistic: Callable[[Int[np.ndarray, " n"]], float],
    n: int,
    *,
    num_resamples: int,
    seed: int,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of `statistic`, a function of the indices of n images.

    Resampling adds noise, so near 0 the interval of a distance lies above the distance itself.
    """
    if n < 1 or num_resamples < 1:
        raise ValueError(f"bootstrap_interval: {n} images, {num_resamples} resamples; each must be at least 1")
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(n, size=n)) for _ in range(num_resamples)]
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)
