"""ID-Dis and the share of de-identified faces that are found in a gallery (Tables 5, 6 and 8)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from models.identity.search import nearest
from models.statistics.leakage import wilson_interval

DECIMALS = 4
Measured = dict[str, Any]  # value, n, ci95; value None with a `reason` where it cannot be had


def identity_distance(original: Float[np.ndarray, "n d"], other: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Return the Euclidean distance of paired L2-normalised features (ID-Dis): 0 to 2, sqrt(2) orthogonal."""
    for name, rows in (("original", original), ("other", other)):
        if len(rows) and not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-4):
            raise ValueError(f"{name}: features are not normalised to 1; divide them by their norms")
    return np.linalg.norm(original.astype(np.float64) - other.astype(np.float64), axis=1)


def mean_over_patients(
    values: Float[np.ndarray, " n"],
    patients: Sequence[str],
    *,
    seed: int,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> Measured:
    """Return the mean over images {value, n, patients, ci95}; the interval resamples patients with all their images.

    Images of one patient are alike, so that resampling images would promise too narrow an interval. With fewer
    than two patients there is none.
    """
    if len(values) != len(patients):
        raise ValueError(f"patients: {len(patients)} for {len(values)} values; one each")
    if not len(values):
        return unavailable("no image")
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    sums, counts = np.bincount(owner, np.asarray(values, np.float64)), np.bincount(owner)
    found: Measured = {"value": round(float(np.mean(values)), DECIMALS), "n": len(values)}
    found |= {"patients": len(names), "ci95": [None, None]}
    if len(names) > 1:
        rng = np.random.default_rng([seed, len(names)])
        weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=num_resamples)
        means = (weights @ sums) / (weights @ counts)
        tail = (1 - confidence) / 2
        found["ci95"] = [round(float(edge), DECIMALS) for edge in np.quantile(means, (tail, 1 - tail))]
    return found


def match_rate(
    queries: Float[np.ndarray, "n d"],
    people: Sequence[str],
    gallery: Float[np.ndarray, "m d"],
    gallery_people: Sequence[str],
    *,
    confidence: float = 0.95,
) -> Measured:
    """Return the rank-1 match rate (Table 6): how many queries have their own person as nearest in the gallery.

    A query whose person is not in the gallery cannot match and is refused (ValueError), for it would flatter.
    `chance` is the rate of drawing a gallery face at random.
    """
    missing = set(people) - set(gallery_people)
    if missing:
        raise ValueError(f"gallery: {len(missing)} of {len(set(people))} people have no photo in it; add them")
    if not len(queries):
        return unavailable("no image")
    _, index = nearest(queries, gallery)
    names = np.asarray(gallery_people)
    hits = int((names[index] == np.asarray(people)).sum())
    chance = float(np.mean([(names == person).mean() for person in people]))
    return rate(hits, len(queries), confidence) | {"gallery": len(gallery), "chance": round(chance, DECIMALS)}


def rate(hits: float, n: int, confidence: float = 0.95) -> Measured:
    """Return a share {value, n, ci95} with Wilson's interval."""
    low, high = wilson_interval(hits, n, confidence)
    ci95 = [round(low, DECIMALS), round(high, DECIMALS)]
    return {"value": round(hits / n, DECIMALS), "n": n, "ci95": ci95} if n else unavailable("no image")


def unavailable(reason: str) -> Measured:
    """Return a value that cannot be had, and why."""
    return {"value": None, "n": 0, "ci95": [None, None], "reason": reason}
