"""Verification accuracy on pairs of an original and a de-identified face, by LFW's protocol (Huang et al. 2008)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from models.statistics.identity_distance import rate, unavailable

NUM_FOLDS = 10


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows of originals and of de-identified images, whether they are the same person, and the fold of each pair."""

    original: Int[np.ndarray, " p"]
    other: Int[np.ndarray, " p"]
    same: Bool[np.ndarray, " p"]
    fold: Int[np.ndarray, " p"]

    @property
    def num_folds(self) -> int:
        """How many folds there are; fewer than ten where there are too few people."""
        return int(self.fold.max()) + 1 if len(self.fold) else 0


def draw_pairs(people: Sequence[str], *, seed: int, num_folds: int = NUM_FOLDS) -> Pairs:
    """Return two pairs per image: with its own de-identified image, and with another person's of the same fold.

    As in LFW, nobody is in two folds and half of every fold's pairs are of the same person. A fold needs two
    people, so there are at most half as many folds as people.
    """
    rows = defaultdict(list)
    for row, person in enumerate(people):
        rows[person].append(row)
    rng = np.random.default_rng([seed, len(people)])
    order = [list(rows)[i] for i in rng.permutation(len(rows))]
    num_folds = min(num_folds, len(order) // 2)
    fold_of = {person: index % num_folds for index, person in enumerate(order)} if num_folds else {}
    pairs = []
    for row, person in enumerate(people if num_folds else ()):
        fold = fold_of[person]
        others = [r for name in order if name != person and fold_of[name] == fold for r in rows[name]]
        pairs += [(row, row, True, fold), (row, int(rng.choice(others)), False, fold)]
    original, other, same, fold = np.array(pairs, np.int64).reshape(-1, 4).T
    return Pairs(original, other, same.astype(bool), fold)


def best_threshold(similarity: Float[np.ndarray, " n"], same: Bool[np.ndarray, " n"]) -> float:
    """Return the threshold above which "same" is most often right; of equally good ones the lowest.

    Candidates lie below, between and above the similarities, so that saying always or never is allowed.
    """
    values = np.unique(similarity)
    edges = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    genuine, impostor = np.sort(similarity[same]), np.sort(similarity[~same])
    right = len(genuine) - np.searchsorted(genuine, edges, side="right")
    right = right + np.searchsorted(impostor, edges, side="right")
    return float(edges[right.argmax()])


def fold_accuracies(
    similarity: Float[np.ndarray, " p"], same: Bool[np.ndarray, " p"], fold: Int[np.ndarray, " p"]
) -> Float[np.ndarray, " k"]:
    """Return each fold's accuracy with the threshold that is best on all others."""
    accuracies = []
    for index in range(int(fold.max()) + 1):
        held, rest = fold == index, fold != index
        threshold = best_threshold(similarity[rest], same[rest])
        accuracies.append(((similarity[held] > threshold) == same[held]).mean())
    return np.array(accuracies)


def verification_accuracy(
    similarity: Float[np.ndarray, " p"], pairs: Pairs, *, confidence: float = 0.95
) -> dict[str, Any]:
    """Return the mean accuracy over the folds {value, n, ci95, folds, std_error, reversed}; 0.5 is guessing.

    `n` counts pairs, and Wilson's interval takes them as independent. `reversed` is the accuracy of an attacker
    who says "same" where the similarity is low: above 0.5 it betrays faces pushed apart rather than made
    strangers.
    """
    if pairs.num_folds < 2:
        return unavailable("fewer than four people, so no two folds of two")
    accuracies = fold_accuracies(similarity, pairs.same, pairs.fold)
    turned = fold_accuracies(-similarity, pairs.same, pairs.fold)
    value, n = float(accuracies.mean()), len(similarity)
    error = float(accuracies.std(ddof=1) / np.sqrt(len(accuracies)))
    found = rate(value * n, n, confidence)
    return found | {"folds": len(accuracies), "std_error": round(error, 4), "reversed": round(float(turned.mean()), 4)}
