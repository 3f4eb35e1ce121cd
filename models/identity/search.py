"""Exact nearest neighbour by cosine: fast in single precision, proven or decided in double."""

import numpy as np
import torch
from jaxtyping import Float, Int

QUERY_ROWS = 1024
CANDIDATES = 8
# A dot product of unit vectors in single precision is off by at most d * 2**-24, whatever the order of its
# sum (Higham 2002, Eq. 3.5); twice that also covers how far from 1 the norms are.
UNIT_ROUNDOFF = 2.0**-24


def nearest(
    queries: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "m d"], *, block_rows: int = 4096
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return each query's largest cosine (float64) over the gallery and its row, the first of equals.

    Both sides are L2-normalised float32. Equal to brute force in float64: the best single-precision
    candidates are ranked again in double, and a query whose winner they cannot prove is searched in double.
    Memory grows with `block_rows`, not with the gallery.
    """
    _check(queries, gallery, block_rows)
    similarity, index = np.empty(len(queries)), np.empty(len(queries), np.int64)
    for start in range(0, len(queries), QUERY_ROWS):
        rows = slice(start, start + QUERY_ROWS)
        similarity[rows], index[rows] = _nearest_block(queries[rows], gallery, block_rows)
    return similarity, index


def _check(queries: np.ndarray, gallery: np.ndarray, block_rows: int) -> None:
    if not len(gallery):
        raise ValueError("gallery: it is empty, so nobody could be found in it; ingest patients first")
    if queries.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries: {queries.shape} do not fit a gallery of {gallery.shape}; use one recogniser"
        )
    if block_rows < 1:
        raise ValueError(f"block_rows: {block_rows} must be at least 1")
    for name, rows in (("queries", queries), ("gallery", gallery)):
        norms = np.linalg.norm(rows, axis=1)
        if not np.allclose(norms, 1, atol=1e-5):
            raise ValueError(
                f"{name}: rows of norm {norms.min():.3g} to {norms.max():.3g}; normalise them to 1"
            )


def _nearest_block(
    queries: np.ndarray, gallery: np.ndarray, block_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    scores, rows = _candidates(queries, gallery, block_rows)
    # In the order of the rows, so that of equals the first wins.
    rows = np.sort(rows, axis=1)
    exact = np.stack([cosines(queries, gallery[column]) for column in rows.T], axis=1)
    best = exact.argmax(axis=1)
    similarity = np.take_along_axis(exact, best[:, None], 1)[:, 0]
    index = np.take_along_axis(rows, best[:, None], 1)[:, 0]
    if rows.shape[1] < len(gallery):
        bound = scores.min(axis=1).astype(np.float64) + 2 * queries.shape[1] * UNIT_ROUNDOFF
        for row in np.flatnonzero(similarity <= bound):
            similarity[row], index[row] = _brute_force(queries[row], gallery, block_rows)
    return similarity, index


def _candidates(queries: np.ndarray, gallery: np.ndarray, block_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and rows of the best candidates in single precision; no other row scores higher."""
    scores = torch.empty(len(queries), 0)
    rows = torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(gallery), block_rows):
        block = torch.from_numpy(queries @ gallery[start : start + block_rows].T)
        top, place = block.topk(min(CANDIDATES, block.shape[1]), dim=1)
        scores, rows = torch.cat([scores, top], 1), torch.cat([rows, place + start], 1)
        scores, place = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)
        rows = rows.gather(1, place)
    return scores.numpy(), rows.numpy()


def cosines(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Return the dot products of paired rows in float64; equal pairs give equal values anywhere."""
    # Rows lie contiguously, so that each is summed in the same order whatever stands around it.
    return np.multiply(a.astype(np.float64, order="C"), b.astype(np.float64, order="C"), order="C").sum(
        axis=1
    )


def _brute_force(query: np.ndarray, gallery: np.ndarray, block_rows: int) -> tuple[float, int]:
    similarity, index = -np.inf, -1
    for start in range(0, len(gallery), block_rows):
        block = gallery[start : start + block_rows]
        values = cosines(np.broadcast_to(query, block.shape), block)
        if values.max() > similarity:
            similarity, index = float(values.max()), start + int(values.argmax())
    return similarity, index
