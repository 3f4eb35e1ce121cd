"""Agreement beyond chance: Fleiss' and Cohen's kappa with bootstrap intervals, and what skill lets expect.

Images are resampled as counts of distinct rating patterns, of which there are few: 42,000 images and
1,000 resamples take well under a second.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa

DECIMALS = 6
Kappa = dict[str, Any]  # value, n, ci95; value and ci95 are None where undefined, with `why`


def fleiss(ratings: Int[np.ndarray, "n readers"], num_categories: int, *, num_resamples: int, seed: int) -> Kappa:
    """Return Fleiss' kappa of n images that all readers rated, as categories from 0 (Fleiss 1971)."""
    if not len(ratings):
        return _undefined(0, "no image was rated by all readers")
    counts = (ratings[:, :, None] == np.arange(num_categories)).sum(1)
    return _fleiss_of_counts(counts, num_resamples, seed)


def fleiss_by_category(
    ratings: Int[np.ndarray, "n readers"], categories: Sequence[str], *, num_resamples: int, seed: int
) -> dict[str, Kappa]:
    """Return Fleiss' kappa of each category against all others."""
    return {
        name: fleiss((ratings == index).astype(np.int64), 2, num_resamples=num_resamples, seed=seed)
        for index, name in enumerate(categories)
    }


def cohen(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], *, num_resamples: int, seed: int) -> Kappa:
    """Return Cohen's kappa of two ratings of the same n images (Cohen 1960)."""
    if not len(first):
        return _undefined(0, "no image has both ratings")
    if len(set(first.tolist()) | set(second.tolist())) < 2:
        return _undefined(len(first), "only one category was used")
    value = cohen_kappa_score(first, second)
    patterns, numbers = np.unique(np.stack([first, second], 1), axis=0, return_counts=True)
    weights = _resamples(numbers, num_resamples, seed)
    return _kappa(value, len(first), _cohen_of_patterns(patterns, weights))


def expected_fleiss(confusions: Float[np.ndarray, "readers k m"], prior: Float[np.ndarray, " k"]) -> float:
    """Return the population's Fleiss' kappa of readers who err independently given the truth.

    `confusions[r, t, c]` is how likely reader r calls truth t category c; `prior[t]` is its frequency.
    """
    num_readers = len(confusions)
    said = np.einsum("t,rtc->c", prior, confusions) / num_readers
    both = np.einsum("t,rtc,stc->rs", prior, confusions, confusions)
    observed = (both.sum() - np.trace(both)) / (num_readers * (num_readers - 1))
    return _beyond_chance(observed, float((said**2).sum()))


def expected_cohen(
    first: Float[np.ndarray, "k m"], second: Float[np.ndarray, "k m"], prior: Float[np.ndarray, " k"]
) -> float:
    """Return the population's Cohen's kappa of two such readings, or of one reader's own repeat."""
    observed = float(np.einsum("t,tc,tc->", prior, first, second))
    return _beyond_chance(observed, float((prior @ first) @ (prior @ second)))


def one_against_rest(confusions: Float[np.ndarray, "r k k"], index: int) -> Float[np.ndarray, "r k 2"]:
    """Return the confusions with the categories merged into `index` and all others."""
    return np.stack([1 - confusions[..., index], confusions[..., index]], -1)


def _fleiss_of_counts(counts: Int[np.ndarray, "n k"], num_resamples: int, seed: int) -> Kappa:
    num_readers = int(counts[0].sum())
    if num_readers < 2:
        return _undefined(len(counts), "one reader only")
    if (counts.sum(0) > 0).sum() < 2:
        return _undefined(len(counts), "only one category was used")
    value = fleiss_kappa(counts)
    patterns, numbers = np.unique(counts, axis=0, return_counts=True)
    weights = _resamples(numbers, num_resamples, seed) / numbers.sum()
    observed = weights @ ((patterns**2).sum(1) - num_readers) / (num_readers * (num_readers - 1))
    by_chance = ((weights @ patterns / num_readers) ** 2).sum(1)
    return _kappa(value, len(counts), _beyond_chance(observed, by_chance))


def _cohen_of_patterns(patterns: Int[np.ndarray, "p 2"], weights: Int[np.ndarray, "b p"]) -> Float[np.ndarray, " b"]:
    shares = weights / weights.sum(1, keepdims=True)
    categories = np.unique(patterns)
    first, second = (shares @ (patterns[:, side, None] == categories) for side in (0, 1))
    return _beyond_chance(shares @ (patterns[:, 0] == patterns[:, 1]), (first * second).sum(1))


def _beyond_chance(observed: Any, by_chance: Any) -> Any:
    """Return (observed - by_chance) / (1 - by_chance), nan where chance alone agrees always."""
    rest = 1 - np.asarray(by_chance, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(rest > 1e-12, (observed - by_chance) / rest, np.nan)
    return value if value.ndim else float(value)


def _resamples(numbers: Int[np.ndarray, " p"], num_resamples: int, seed: int) -> Int[np.ndarray, "b p"]:
    n = int(numbers.sum())
    return np.random.default_rng(seed).multinomial(n, numbers / n, size=num_resamples)


def _kappa(value: float, n: int, resampled: Float[np.ndarray, " b"]) -> Kappa:
    """Return the value with its percentile interval; resamples in which it is undefined are left out."""
    defined = resampled[np.isfinite(resampled)]
    if not len(defined):
        interval = None
    else:
        interval = [round(float(edge), DECIMALS) for edge in np.percentile(defined, [2.5, 97.5])]
    return {"value": round(float(value), DECIMALS), "n": n, "ci95": interval}


def _undefined(n: int, why: str) -> Kappa:
    return {"value": None, "n": n, "ci95": None, "why": why}
