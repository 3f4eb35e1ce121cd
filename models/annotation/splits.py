"""Splits that no donor's face crosses, in which each class has its share to within one image.

Every donor's images go together. Donors with many images are placed first, each by lot among the splits
that still need what it brings; those with few then fill what is left, and a repair moves and swaps donors
as long as the counts come nearer to their exact shares.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MAX_SWAPPED = 64  # kinds of donors among whom swaps are sought: pairs of them are tried all
GOOD, MAX_TRIES = 1.0, 32  # images off the exact share; other lots are drawn until none is farther off
SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Split:
    """Which image goes where, and how far each class is from its exact share."""

    assignment: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    counts: Int[np.ndarray, "c s"]
    exact: Float[np.ndarray, "c s"]

    @property
    def deviation(self) -> float:
        """The largest distance of a class's count in a split from its exact share, in images."""
        return float(np.abs(self.counts - self.exact).max())


def split_by_donor(diseases: Sequence[str], donors: Sequence[str], proportions: Sequence[int], seed: int) -> Split:
    """Return n images' splits in `proportions`, stratified by disease and grouped by donor."""
    if not len(diseases) or len(diseases) != len(donors):
        raise ValueError(f"diseases, donors: {len(diseases)} and {len(donors)} given; one each per image")
    names, donor_of = np.unique(np.asarray(donors, str), return_inverse=True)
    classes, class_of = np.unique(np.asarray(diseases, str), return_inverse=True)
    groups = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(groups, (donor_of, class_of), 1)
    shares = np.asarray(proportions, np.float64) / np.sum(proportions)
    exact = groups.sum(0)[:, None] * shares
    rng, best = np.random.default_rng(seed), None
    for _ in range(MAX_TRIES):
        where = _Placement(_with_total(groups), _with_total(exact.T).T, rng)
        where.fill(shares)
        where.repair()
        split = Split(where.split[donor_of], tuple(classes.tolist()), where.counts[:-1], exact)
        best = min(best or split, split, key=lambda one: one.deviation)
        if best.deviation <= GOOD:
            break
    assert best is not None
    return best


def _with_total(rows: np.ndarray) -> np.ndarray:
    """Return rows of class counts with their sum as one more class: a split's size counts like a class."""
    return np.concatenate([rows, rows.sum(1, keepdims=True)], 1)


class _Placement:
    """Donors in splits, while they are being placed; the last class is all images."""

    def __init__(self, groups: Int[np.ndarray, "g c"], exact: Float[np.ndarray, "c s"], rng: np.random.Generator):
        self.groups, self.exact, self.rng = groups, exact, rng
        self.split = np.full(len(groups), -1)
        self.counts = np.zeros(exact.shape, np.int64)

    def fill(self, shares: Float[np.ndarray, " s"]) -> None:
        """Place every donor, the largest first: by lot where it fits, else where it overshoots least."""
        order = self.rng.permutation(len(self.groups))
        order = order[np.argsort(-self.groups[order, -1], kind="stable")]
        draws = self.rng.random(len(order))
        for group, draw in zip(order.tolist(), draws.tolist(), strict=True):
            brings = self.groups[group][:, None]
            left = self.exact - self.counts - brings
            fits = (left[brings[:, 0] > 0] > -0.5).all(0)
            if fits.any():
                need = np.where(fits, np.maximum(self.exact - self.counts, 0)[-1] / shares, 0) * shares
                chances = np.cumsum(need + fits * SLACK)
                place = int(np.searchsorted(chances / chances[-1], draw, side="right"))
            else:
                place = int(self._costs(brings).argmin())
            self._move(group, min(place, len(shares) - 1))

    def repair(self) -> None:
        """Move and swap donors as long as the squared distances to the exact shares shrink."""
        while self._best_move() or self._best_swap():
            pass

    def _costs(self, brings: Int[np.ndarray, "c 1"]) -> Float[np.ndarray, " s"]:
        return ((self.counts + brings - self.exact) ** 2 - (self.counts - self.exact) ** 2).sum(0)

    def _move(self, group: int, place: int) -> None:
        if self.split[group] >= 0:
            self.counts[:, self.split[group]] -= self.groups[group]
        self.counts[:, place] += self.groups[group]
        self.split[group] = place

    def _kinds(self) -> tuple[Int[np.ndarray, "k c"], Int[np.ndarray, " k"], list[int]]:
        """Return the distinct (class counts, split) of the donors, and one donor of each."""
        rows = np.concatenate([self.groups, self.split[:, None]], 1)
        kinds, first = np.unique(rows, axis=0, return_index=True)
        return kinds[:, :-1], kinds[:, -1], first.tolist()

    def _best_move(self) -> bool:
        kinds, here, donor = self._kinds()
        off = self.counts - self.exact
        # |off + b|² - |off|² = 2 off·b + b², for the split it enters, and with -b for the one it leaves.
        gain = 2 * kinds @ off
        size = (kinds**2).sum(1)
        change = gain - gain[np.arange(len(kinds)), here][:, None] + 2 * size[:, None]
        change[np.arange(len(kinds)), here] = 0
        kind, place = np.unravel_index(int(change.argmin()), change.shape)
        if change[kind, place] >= -SLACK:
            return False
        self._move(donor[int(kind)], int(place))
        return True

    def _best_swap(self) -> bool:
        kinds, here, donor = self._kinds()
        small = np.argsort(kinds[:, -1], kind="stable")[: MAX_SWAPPED * self.exact.shape[1]]
        kinds, here, donor = kinds[small], here[small], [donor[index] for index in small.tolist()]
        off = (self.counts - self.exact).T[here]  # of the split each kind is in
        # The first's split changes by d = second - first, the second's by -d.
        dot = kinds @ off.T  # [kind, whose split]
        own = np.diag(dot)
        square = (kinds**2).sum(1)
        distance = square[:, None] + square[None] - 2 * kinds @ kinds.T
        change = 2 * (dot.T - own[:, None] + dot - own[None]) + 2 * distance
        change[here[:, None] == here[None]] = 0
        first, second = np.unravel_index(int(change.argmin()), change.shape)
        if change[first, second] >= -SLACK:
            return False
        places = int(here[first]), int(here[second])
        self._move(donor[int(first)], places[1])
        self._move(donor[int(second)], places[0])
        return True
