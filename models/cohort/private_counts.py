"""Counts of people that may be published: the discrete Laplace mechanism, its noise bound to a key and the data."""

import hashlib
import math

import numpy as np
from jaxtyping import Float, Int

BYTES = 8  # of the keystream for each uniform number


def shares_of_epsilon(sizes: tuple[int, ...], epsilon: float) -> tuple[float, ...]:
    """Split epsilon over histograms of some numbers of cells so that their expected total variations add up to least.

    The error of k cells grows as k / epsilon; the least sum under a fixed total has epsilon in proportion to sqrt(k).
    """
    roots = [math.sqrt(size) for size in sizes]
    return tuple(epsilon * root / sum(roots) for root in roots)


def discrete_laplace(key: bytes, label: str, size: int, epsilon: float) -> Int[np.ndarray, " n"]:
    """Return `size` whole numbers k with P(k) = (1 - a) / (1 + a) a^|k|, a = e^-epsilon (Ghosh et al. 2009).

    Each is a difference of two geometric numbers. Equal arguments give equal numbers; without the 32 bytes of `key`
    nobody can tell them from fresh ones, since SHAKE-256 of a secret prefix is a pseudorandom function.
    """
    if not epsilon > 0:
        raise ValueError(f"profile_cohort.epsilon: {epsilon} must be above 0")
    stream = hashlib.shake_256(key + label.encode()).digest(2 * size * BYTES)
    uniform = (np.frombuffer(stream, "<u8").astype(np.float64) + 0.5) / 2.0**64
    geometric = np.floor(-np.log(uniform) / epsilon).astype(np.int64).reshape(2, size)
    return geometric[0] - geometric[1]


def mean_absolute_noise(epsilon: float) -> float:
    """Return E|k| of the discrete Laplace distribution: 2 a / (1 - a^2)."""
    a = math.exp(-epsilon)
    return 2 * a / (1 - a * a)


def private_counts(counts: Int[np.ndarray, "..."], key: bytes, label: str, epsilon: float) -> Int[np.ndarray, "..."]:
    """Return counts to each of which nobody contributes more than one cell's 1, with noise: epsilon-private."""
    return counts + discrete_laplace(key, label, counts.size, epsilon).reshape(counts.shape)


def at_least(counts: Int[np.ndarray, "..."], k: int) -> Float[np.ndarray, "..."]:
    """Return counts none of which stands for 1 to k-1 people: those are told as k, negative ones as 0."""
    return np.where(counts > 0, np.maximum(counts, k), 0).astype(np.float64)
