"""A cohort's statistics, coarse enough that no cell speaks of fewer than k patients."""

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from models.conditions import DISEASES, GENDERS

ITERATIONS = 500


def age_labels(edges: Sequence[int]) -> list[str]:
    """Return one label per bin: "20-40" means 20 <= age < 40."""
    return [f"{low}-{high}" for low, high in pairwise(edges)]


def age_bins(ages: Float[np.ndarray, " n"], edges: Sequence[int]) -> np.ndarray:
    """Return each age's bin index; ages outside the edges go to the nearest bin."""
    return np.clip(np.searchsorted(edges, ages, side="right") - 1, 0, len(edges) - 2)


def safe_groups(people: list[set[Hashable]], k: int, *, ordered: bool) -> list[list[int]]:
    """Merge categories of 1 to k-1 patients until every group has none or at least k.

    Ordered categories merge with the next group that has anyone, others with the smallest group of all.
    """
    total = len(set().union(*people))
    if total < k:
        raise ValueError(
            f"min_cell: {k} is more than the cohort's {total} patients; ingest more, or lower it"
        )
    groups = [[index] for index in range(len(people))]

    def size(group: list[int]) -> int:
        return len(set().union(*(people[index] for index in group)))

    while small := [group for group in groups if 0 < size(group) < k]:
        group = min(small, key=lambda g: (size(g), g))
        place = groups.index(group)
        others = [g for g in groups if g is not group and size(g)]
        if ordered:
            before, after = ([g for g in side if size(g)] for side in (groups[:place], groups[place + 1 :]))
            others = before[-1:] + after[:1]
        partner = min(others, key=lambda g: (size(g), g))
        groups[place] = sorted(group + partner)
        groups.remove(partner)
    return groups


def _spread(shares: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Give every member of a group the group's mean share."""
    result = shares.copy()
    for group in groups:
        result[group] = shares[group].mean()
    return result


def _safe_cells(
    cells: dict[tuple[int, int, int], set[Hashable]], merged: list[set[int]], k: int
) -> set[tuple[int, int, int]]:
    """Return the cells that may be told exactly: k patients in each, none or k left over in their margins.

    The left-over counts because whoever knows the margin and the told cells can subtract.
    """
    told = {
        cell for cell, people in cells.items()
        if len(people) >= k and not any(cell[axis] in merged[axis] for axis in range(3))
    }  # fmt: skip
    while True:
        exposed = [
            (axis, value)
            for axis in range(3)
            for value in sorted({cell[axis] for cell in told})
            if 0 < len(set().union(*(p for c, p in cells.items() if c[axis] == value and c not in told))) < k
        ]
        rest = len(set().union(*(people for cell, people in cells.items() if cell not in told)))
        if not exposed and not 0 < rest < k:
            return told
        axis, value = exposed[0] if exposed else (0, min(told)[0])
        line = [cell for cell in told if cell[axis] == value]
        told.remove(min(line, key=lambda cell: (len(cells[cell]), cell)))


def _fill(margins: list[np.ndarray], told: dict[tuple[int, int, int], float]) -> Float[np.ndarray, "d a g"]:
    """Return the joint of the told cells, the rest from the margins (iterative proportional fitting)."""
    fixed = np.zeros([len(margin) for margin in margins])
    for cell, share in told.items():
        fixed[cell] = share
    axes = [tuple(j for j in range(3) if j != axis) for axis in range(3)]
    rests = [np.clip(margin - fixed.sum(axis=axes[i]), 0, None) for i, margin in enumerate(margins)]
    joint = np.einsum("d,a,g->dag", *rests)
    for cell in told:
        joint[cell] = 0
    for _ in range(ITERATIONS):
        for axis, rest in enumerate(rests):
            now = joint.sum(axis=axes[axis])
            factor = np.divide(rest, now, out=np.zeros_like(rest), where=now > 1e-15)
            joint *= np.expand_dims(factor, axes[axis])
    return fixed + joint


def cohort_profile(
    patients: Sequence[Hashable],
    diseases: Sequence[str],
    ages: Float[np.ndarray, " n"],
    genders: Sequence[str],
    *,
    age_edges: Sequence[int],
    min_cell: int,
) -> dict:
    """Return P(disease), P(age), P(gender) and their joint over photos, fit to be published.

    Small categories are merged and share their mass evenly; small joint cells follow from the margins alone.
    """
    index = np.stack(
        [
            [DISEASES.index(d) for d in diseases],
            age_bins(ages, age_edges),
            [GENDERS.index(g) for g in genders],
        ],
        1,
    )
    sizes = (len(DISEASES), len(age_edges) - 1, len(GENDERS))
    cells: dict[tuple[int, int, int], set[Hashable]] = {}
    counts = np.zeros(sizes)
    for cell, patient in zip(map(tuple, index.tolist()), patients, strict=True):
        cells.setdefault(cell, set()).add(patient)
        counts[cell] += 1
    margins, merged = [], []
    for axis, size in enumerate(sizes):
        people = [set().union(*(p for c, p in cells.items() if c[axis] == value)) for value in range(size)]
        groups = safe_groups(people, min_cell, ordered=axis == 1)
        shares = counts.sum(axis=tuple(j for j in range(3) if j != axis)) / len(index)
        margins.append(_spread(shares, groups))
        merged.append({value for group in groups if len(group) > 1 for value in group})
    told = {cell: counts[cell] / len(index) for cell in sorted(_safe_cells(cells, merged, min_cell))}
    return _as_json(margins, _fill(margins, told), len(index), len(told), age_edges, min_cell)


def _as_json(
    margins: list[np.ndarray], joint: np.ndarray, n: int, told: int, age_edges: Sequence[int], min_cell: int
) -> dict:
    names = (DISEASES, age_labels(age_edges), GENDERS)
    tables = [
        {name: round(float(p), 8) for name, p in zip(labels, margin, strict=True)}
        for labels, margin in zip(names, margins, strict=True)
    ]
    cells = [
        {
            "disease": names[0][d],
            "age_bin": names[1][a],
            "gender": names[2][g],
            "p": round(float(joint[d, a, g]), 8),
        }
        for d, a, g in np.argwhere(joint > 1e-8)
    ]
    return {
        "age_edges": list(age_edges), "n": n, "min_cell": min_cell, "cells_told_exactly": told,
        "disease": tables[0], "age": tables[1], "gender": tables[2], "joint": cells,
    }  # fmt: skip
