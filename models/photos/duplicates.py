"""Exact and near duplicates among photos: equal pixels, or perceptual hashes a few bits apart."""

import imagehash
import numpy as np
from jaxtyping import Int, UInt8, UInt64
from PIL import Image

BLOCK = 2048


def perceptual_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> int:
    """Return the 64-bit DCT hash of a picture (imagehash.phash): small edits move few bits."""
    bits = imagehash.phash(Image.fromarray(rgb)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def first_seen(ids: list[str]) -> Int[np.ndarray, " n"]:
    """Return for each id the index of an earlier equal one, or -1."""
    seen: dict[str, int] = {}
    return np.array(
        [-1 if (first := seen.setdefault(key, i)) == i else first for i, key in enumerate(ids)], int
    )


def near_duplicates(hashes: UInt64[np.ndarray, " n"], max_bits: int) -> Int[np.ndarray, " n"]:
    """Return for each hash the index of the first earlier one at most `max_bits` away, or -1; in blocks."""
    result = np.full(len(hashes), -1, int)
    for start in range(0, len(hashes), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(hashes)))
        for other in range(0, start + len(rows), BLOCK):
            columns = np.arange(other, min(other + BLOCK, len(hashes)))
            distance = np.bitwise_count(hashes[rows, None] ^ hashes[None, columns])
            hit = (distance <= max_bits) & (columns[None] < rows[:, None])
            found = hit.any(axis=1) & (result[rows] < 0)
            result[rows[found]] = columns[hit[found].argmax(axis=1)]
    return result
