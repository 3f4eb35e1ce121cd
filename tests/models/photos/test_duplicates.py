"""Hashes find copies and near-copies, the blocked search as well as the plain one."""

import cv2
import numpy as np

from models.photos import duplicates


def test_small_edits_move_few_bits_and_other_pictures_many():
    rng = np.random.default_rng(0)
    one, other = (cv2.resize(rng.integers(0, 256, (32, 32, 3), np.uint8), (96, 96)) for _ in range(2))
    noisy = np.clip(one + rng.normal(0, 2, one.shape), 0, 255).astype(np.uint8)
    first = duplicates.perceptual_hash(one)
    assert (first ^ duplicates.perceptual_hash(noisy)).bit_count() <= 2
    assert (first ^ duplicates.perceptual_hash(other)).bit_count() > 10


def test_first_seen():
    assert duplicates.first_seen(["a", "b", "a", "a", "b"]).tolist() == [-1, -1, 0, 0, 1]


def test_blocks_find_what_a_double_loop_finds(monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 40, dtype=np.uint64)
    hashes[[11, 25, 39]] = hashes[3] ^ np.array([1, 3, 7], np.uint64)
    expected = []
    for i, code in enumerate(hashes.tolist()):
        hits = [j for j in range(i) if (code ^ int(hashes[j])).bit_count() <= 2]
        expected.append(hits[0] if hits else -1)
    assert expected[11] == 3
    assert expected[39] == 11
    assert duplicates.near_duplicates(hashes, 2).tolist() == expected
    assert duplicates.near_duplicates(hashes[:0], 2).tolist() == []
