"""What counts as a leak: a threshold calibrated against the gallery, and rates with intervals (Table 1)."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float
from scipy.stats import beta

QUERY_ROWS = 1024


@dataclass(frozen=True)
class Threshold:
    """A similarity that few people outside the gallery reach; a leak lies above it, not on it."""

    value: float
    num_calibration: int
    num_hits: int  # calibration faces above it

    @property
    def fpir(self) -> float:
        """The share of calibration faces above the threshold."""
        return self.num_hits / self.num_calibration

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return bounds of the share of all outsiders above the threshold, itself a calibration face's value.

        Above the k-th largest of n lies a share that follows Beta(k, n + 1 - k), whatever the similarities' law.
        """
        rank = self.num_hits + 1
        low, high = beta.ppf([(1 - confidence) / 2, (1 + confidence) / 2], rank, self.num_calibration + 1 - rank)
        return float(low), float(high)


def fpir_threshold(top_similarity: Float[np.ndarray, " n"], fpir: float) -> Threshold:
    """Return the lowest threshold whose expected false positive identification rate is at most `fpir`.

    `top_similarity` holds the largest similarity to the gallery of n people outside it. Above the k-th
    largest lies k / (n + 1) of new people in expectation: k is the largest with k / (n + 1) <= fpir, one
    stricter than the share within the sample.
    """
    if not 0 < fpir < 1:
        raise ValueError(f"screen_identity.fpir: {fpir} must lie between 0 and 1")
    rank = math.floor(fpir * (len(top_similarity) + 1) + 1e-9)
    if rank < 1:
        needed = math.ceil(1 / fpir - 1e-9) - 1
        raise ValueError(
            f"screen_identity.fpir: {fpir} needs at least {needed} calibration faces, "
            f"{len(top_similarity)} given; raise ingest_public.calibration_share or add public faces"
        )
    value = float(np.sort(top_similarity)[-rank])
    return Threshold(value, len(top_similarity), int((top_similarity > value).sum()))


def false_match_rate(people: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "m d"], threshold: float) -> float:
    """Return the share of all pairs of an outsider and a gallery photo that lie above the threshold."""
    hits = sum(
        int((people[start : start + QUERY_ROWS] @ gallery.T > threshold).sum())
        for start in range(0, len(people), QUERY_ROWS)
    )
    return hits / (len(people) * len(gallery))


def wilson_interval(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share, hits of n (Wilson 1927); [0, 1] where n is 0."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return low, high


def threshold_draws(
    top_similarity: Float[np.ndarray, " n"], fpir: float, num: int, seed: int
) -> Float[np.ndarray, " num"]:
    """Return the thresholds that other calibration faces of the same kind would have set (bootstrap).

    Of equal seeds the same people are drawn, so several recognisers' draws belong together.
    """
    rng, n = np.random.default_rng([seed, 1]), len(top_similarity)
    rank = math.floor(fpir * (n + 1) + 1e-9)
    return np.array([np.partition(top_similarity[rng.integers(n, size=n)], -rank)[-rank] for _ in range(num)])


def rate_draws(
    top_similarity: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " b"], seed: int
) -> Float[np.ndarray, " b"]:
    """Return what the rate above the true threshold may be: one draw from the binomial's posterior a threshold.

    Jeffreys' prior, so that no leak of few images is not told as none of all.
    """
    order, n = np.sort(top_similarity), len(top_similarity)
    leaked = n - np.searchsorted(order, thresholds, side="right")
    level = np.random.default_rng([seed, 2]).random(len(thresholds))
    return beta.ppf(level, leaked + 0.5, n - leaked + 0.5)


def drawn_interval(draws: Float[np.ndarray, " b"], confidence: float) -> list[float]:
    """Return the central interval of draws."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return [round(float(low), 6), round(float(high), 6)]


def leak_rate(top_similarity: Float[np.ndarray, " n"], threshold: float, confidence: float = 0.95) -> dict:
    """Return {n, leaked, rate, ci95} at a given threshold (Wilson); `rate` is None where there is no image."""
    return _rate(int((top_similarity > threshold).sum()), len(top_similarity), confidence)


def average_rate(rates: list[dict], confidence: float = 0.95) -> dict:
    """Return the mean of several recognisers' rates of the same images.

    The images are the sample, so the interval is that of one recogniser with the mean number of leaks.
    """
    leaked = sum(rate["leaked"] for rate in rates) / len(rates)
    return _rate(round(leaked, 4), rates[0]["n"], confidence)


def _rate(leaked: float, n: int, confidence: float) -> dict:
    low, high = wilson_interval(leaked, n, confidence)
    return {
        "n": n, "leaked": leaked, "rate": round(leaked / n, 6) if n else None,
        "ci95": [round(low, 6), round(high, 6)],
    }  # fmt: skip
