"""The search of the identity screen: each sample's nearest patient photo, exactly.

The peers are faiss's exact index and blocks of NumPy's product; the limit is the product of the same shape in the
fastest precision of this processor. Every row found is compared with a search in double precision.
"""

from typing import Annotated

import faiss
import numpy as np
import torch
import typer

from benchmarks import harness
from benchmarks.harness import Case
from models.computing.precision import multiplies_bf16
from models.identity import search
from models.identity.search import nearest

BLOCK_ROWS = 4096
PEOPLE = 6500
KINDS = ("nobody twice", "photos of people", "alike")
EXACT_ROWS = 1024  # of queries compared in double at a time
TARGETS = {"faiss IndexFlatIP": 1.5, "limit": 0.75}


def unit(rows: np.ndarray) -> np.ndarray:
    """Return the rows at norm 1, in single precision."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def embeddings(num: int, dim: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return embeddings of photos: of nobody twice, six a person at a cosine near 0.4, or all near 0.9 of one another.

    The last is hard: half precision leaves too many of them.
    """
    noise = unit(rng.standard_normal((num, dim), np.float32))
    if kind == "nobody twice":
        return noise
    fixed = np.random.default_rng(1)
    if kind == "alike":
        return unit(3 * unit(fixed.standard_normal((1, dim), np.float32)) + noise)
    people = unit(fixed.standard_normal((PEOPLE, dim), np.float32))
    return unit(people[rng.integers(PEOPLE, size=num)] + 1.3 * noise)


def exact(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return each query's nearest row in double precision."""
    double = gallery.astype(np.float64).T
    return np.concatenate(
        [
            (queries[start : start + EXACT_ROWS].astype(np.float64) @ double).argmax(axis=1)
            for start in range(0, len(queries), EXACT_ROWS)
        ]
    )


def by_numpy(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return the nearest rows in single precision, by blocks of a matrix product."""
    best, index = np.full(len(queries), -np.inf, np.float32), np.zeros(len(queries), np.int64)
    for start in range(0, len(gallery), BLOCK_ROWS):
        scores = queries @ gallery[start : start + BLOCK_ROWS].T
        row = scores.argmax(axis=1)
        value = scores[np.arange(len(queries)), row]
        wins = value > best
        best[wins], index[wins] = value[wins], row[wins] + start
    return index


def case(num_queries: int, num_gallery: int, dim: int, kind: str, half: bool) -> Case:
    """Return the search of `num_queries` samples among `num_gallery` photos, in half precision first or not."""
    rng = np.random.default_rng(0)
    gallery, queries = (embeddings(num, dim, kind, rng) for num in (num_gallery, num_queries))
    index = faiss.IndexFlatIP(dim)
    index.add(gallery)
    dtype = torch.bfloat16 if half else torch.float32
    a, b = torch.from_numpy(queries).to(dtype), torch.from_numpy(gallery).to(dtype)
    scores = torch.empty(BLOCK_ROWS, BLOCK_ROWS, dtype=dtype)

    def product() -> None:
        for rows in a.split(search.QUERY_ROWS):
            for block in b.split(BLOCK_ROWS):
                torch.mm(rows, block.T, out=scores.view(-1)[: len(rows) * len(block)].view(len(rows), -1))

    peers = {
        "faiss IndexFlatIP": lambda: index.search(queries, 1)[1][:, 0],
        "NumPy": lambda: by_numpy(queries, gallery),
    }

    def check() -> str:
        truth = exact(queries, gallery)
        similarity, found = nearest(queries, gallery, block_rows=BLOCK_ROWS, half=half)
        # Sums in another order differ in the last digits: a row as near as the nearest is the nearest.
        assert np.array_equal(similarity, search.cosines(queries, gallery[found])), "a cosine is not its row's"
        behind = search.cosines(queries, gallery[truth]) - similarity
        wrong = (found != truth) & (behind > 1e-15)
        assert not wrong.any(), f"{wrong.sum()} of {len(wrong)} rows are not the nearest in double precision"
        missed = [f"{name} {(peer() != truth).sum()}" for name, peer in peers.items()]
        return f"{len(truth)} of {len(truth)} rows are the nearest in double precision (missed by {', '.join(missed)})"

    return Case(
        "leak_nn", f"{num_queries} x {num_gallery} x {dim}, {kind}" + ", without bf16" * (not half),
        ours=lambda: nearest(queries, gallery, block_rows=BLOCK_ROWS, half=half),
        peers=peers,
        check=check, limit=product, limit_name=f"{str(dtype).removeprefix('torch.')} product",
        targets=TARGETS, on_cpu=True,
    )  # fmt: skip


def main(
    queries: Annotated[int, typer.Option(min=1, help="samples")] = 4096,
    gallery: Annotated[int, typer.Option(min=1, help="patients' photos")] = 39_000,
    dim: Annotated[int, typer.Option(min=1, help="of the embeddings")] = 512,
    kind: Annotated[str, typer.Option(help=f"of faces: {', '.join(KINDS)}")] = KINDS[0],
    single: Annotated[bool, typer.Option("--single", help="as on a processor that does not multiply bf16")] = False,
    rounds: harness.Rounds = 5,
    out: harness.Out = None,
) -> None:
    """Assert exactness, then let ours, faiss, NumPy and the bare product take turns."""
    if kind not in KINDS:
        raise typer.BadParameter(f"--kind: {kind!r}; allowed: {', '.join(KINDS)}")
    half = multiplies_bf16() and not single
    harness.report(case(queries, gallery, dim, kind, half), rounds, out)


if __name__ == "__main__":
    typer.run(main)
