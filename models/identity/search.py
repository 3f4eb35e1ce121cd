"""Exact nearest neighbour by cosine: fast in half or single precision, decided in double.

An approximate index is wrong for a leak audit: a miss is a privacy error. Here a matrix product in the fastest
precision of this processor only sorts out what its own rounding proves too far away; the few rows left of each query
are compared in double.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from models.computing.precision import multiplies_bf16

QUERY_ROWS = 1024
GROUP_ROWS = 16  # of the gallery, of which the largest score is looked at first
MAX_PENDING = 2**18  # pairs of a query and a row that wait for double precision
DECIDED_ROWS = 1024  # of such pairs at a time
MAX_CLOSE = 32  # of them a query and block in half precision; comparing more costs more than a second product
# Rounding to bf16, relative. A dot product of unit vectors summed in single precision is off by at most
# d * 2**-24, whatever the order of its sum (Higham 2002, Eq. 3.5); twice that also covers how far from 1 the norms
# are, and sums that are truncated.
MAX_NORM_ERROR = 2e-5
BF16_ROUNDOFF, SINGLE_ROUNDOFF = 2.0**-8, 2.0**-24


@contextmanager
def _whole_single_precision() -> Iterator[None]:
    """Keep products of single precision from being rounded further, whatever was set for this process.

    Raises ValueError where that cannot be had: oneDNN on ARM obeys its own variable alone.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        ones = torch.full((32, 32), 1 + 2.0**-12)  # which half precision rounds to 1
        if float((ones @ ones).min()) <= 32:
            raise ValueError(
                "products of single precision are rounded to half on this machine, so that a leak could be missed; "
                "unset ONEDNN_DEFAULT_FPMATH_MODE and DNNL_DEFAULT_FPMATH_MODE"
            )
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@_whole_single_precision()
def nearest(
    queries: Float[np.ndarray, "n d"],
    gallery: Float[np.ndarray, "m d"],
    *,
    block_rows: int = 4096,
    half: bool | None = None,
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return each query's largest cosine (float64) over the gallery and its row, the first of equals.

    Both sides are L2-normalised float32. Equal to brute force in float64, for any rows; rows that many a gallery
    repeats take long. Memory grows with `block_rows`, and by half of the gallery. `half`: try half precision first;
    None: where this processor multiplies it.
    """
    half = multiplies_bf16() if half is None else half
    queries, gallery = (np.require(rows, np.float32, ["C", "W"]) for rows in (queries, gallery))
    _check(queries, gallery, block_rows)
    coarse, found = _rounded(gallery, half), []
    for start in range(0, len(queries), QUERY_ROWS):
        part = queries[start : start + QUERY_ROWS]
        try:
            found.append(_nearest_part(part, gallery, coarse, block_rows))
        except _TooClose:
            coarse = _rounded(gallery, half=False)
            found.append(_nearest_part(part, gallery, coarse, block_rows))
    if not found:
        return np.zeros(0), np.zeros(0, np.int64)
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


class _TooClose(Exception):
    """Half precision tells so few rows apart that single precision is faster for the whole of them."""


def _check(queries: np.ndarray, gallery: np.ndarray, block_rows: int) -> None:
    if not len(gallery):
        raise ValueError("gallery: it is empty, so nobody could be found in it; ingest patients first")
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries: {queries.shape} do not fit a gallery of {gallery.shape}; use one recogniser")
    if block_rows < 1:
        raise ValueError(f"block_rows: {block_rows} must be at least 1")
    for name, rows in (("queries", queries), ("gallery", gallery)):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        if not (abs(norms - 1) <= MAX_NORM_ERROR).all():
            raise ValueError(f"{name}: rows of norm {norms.min():.6g} to {norms.max():.6g}; normalise them to 1")


@dataclass(frozen=True)
class _Rounded:
    """Rows in half or single precision, and the norm of the most that a row lost."""

    rows: Tensor
    lost: float


def _rounded(rows: np.ndarray, half: bool) -> _Rounded:
    if not half:
        return _Rounded(torch.from_numpy(rows), 0.0)
    small, lost = torch.empty(rows.shape, dtype=torch.bfloat16), 0.0
    for start in range(0, len(rows), QUERY_ROWS):
        part = torch.from_numpy(rows[start : start + QUERY_ROWS])
        small[start : start + QUERY_ROWS] = part
        lost = max(lost, float((part - small[start : start + QUERY_ROWS]).norm(dim=1).max()))
    return _Rounded(small, lost)


def _nearest_part(
    queries: np.ndarray, gallery: np.ndarray, coarse: _Rounded, block_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    similarity, index = np.full(len(queries), -np.inf), np.full(len(queries), len(gallery))
    top = torch.full((len(queries), 1), -torch.inf)
    pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def decide() -> None:
        """Compare in double whatever the best scores so far do not exclude."""
        if not pending:
            return
        query, row, score = (torch.cat(column) for column in zip(*pending, strict=True))
        pending.clear()
        left = score >= floor[query, 0]
        _decide(queries, gallery, query[left].numpy(), row[left].numpy(), similarity, index)

    half = coarse.rows.dtype == torch.bfloat16
    rounded = _rounded(queries, half)
    floor = top
    for start in range(0, len(gallery), block_rows):
        scores = rounded.rows @ coarse.rows[start : start + block_rows].T
        groups = _group_maxima(scores)
        top = torch.maximum(top, groups.amax(1, keepdim=True))
        floor = top - _margin(top, rounded, coarse)
        left = 0
        for query, place in _above(scores, groups, floor):
            left += len(query)
            if half and left > MAX_CLOSE * len(queries):
                raise _TooClose
            pending.append((query, place + start, scores[query, place]))
            if sum(len(part[0]) for part in pending) > MAX_PENDING:
                decide()
    decide()
    return similarity, index


def _margin(top: Tensor, queries: _Rounded, gallery: _Rounded) -> Tensor:
    """Return how far below a query's best score the score of its nearest row may lie.

    A score is off by q . (b - b') + (q - q') . b', by its sum, and by its own rounding; so is the best one.
    """
    roundoff = BF16_ROUNDOFF if gallery.rows.dtype == torch.bfloat16 else SINGLE_ROUNDOFF
    summed = 2 * gallery.rows.shape[1] * SINGLE_ROUNDOFF
    return 2.05 * (1.01 * (queries.lost + gallery.lost) + summed + roundoff * top.abs())


def _group_maxima(scores: Tensor) -> Tensor:
    """Return the largest of every GROUP_ROWS scores [n, groups]; a group's rows lie `groups` apart."""
    if scores.shape[1] % GROUP_ROWS:
        scores = pad(scores, (0, -scores.shape[1] % GROUP_ROWS), value=-torch.inf)
    return scores.unflatten(1, (GROUP_ROWS, -1)).amax(1)


def _above(scores: Tensor, groups: Tensor, floor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield queries and columns of the scores that reach the floor, looking only where a group does."""
    query, group = torch.nonzero(groups >= floor, as_tuple=True)
    columns = torch.arange(GROUP_ROWS) * groups.shape[1]
    step = MAX_PENDING // GROUP_ROWS
    for part in range(0, len(query), step):
        rows = query[part : part + step, None].expand(-1, GROUP_ROWS)
        places = group[part : part + step, None] + columns
        inside = places < scores.shape[1]  # the last groups may not be full
        rows, places = rows[inside], places[inside]
        reached = scores[rows, places] >= floor[rows, 0]
        yield rows[reached], places[reached]


def _decide(
    queries: np.ndarray,
    gallery: np.ndarray,
    query: np.ndarray,
    row: np.ndarray,
    similarity: np.ndarray,
    index: np.ndarray,
) -> None:
    """Put the pairs' exact cosines into `similarity` and `index` where they are larger, or equal at an earlier row."""
    for part in range(0, len(query), DECIDED_ROWS):
        who, which = query[part : part + DECIDED_ROWS], row[part : part + DECIDED_ROWS]
        exact = cosines(queries[who], gallery[which])
        order = np.lexsort((which, -exact, who))
        first = order[np.unique(who[order], return_index=True)[1]]
        who, which, exact = who[first], which[first], exact[first]
        wins = (exact > similarity[who]) | ((exact == similarity[who]) & (which < index[who]))
        similarity[who[wins]], index[who[wins]] = exact[wins], which[wins]


def cosines(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Return the dot products of paired rows in float64; equal pairs give equal values anywhere."""
    # Rows lie contiguously, so that each is summed in the same order whatever stands around it.
    return np.multiply(a.astype(np.float64, order="C"), b.astype(np.float64, order="C"), order="C").sum(axis=1)
