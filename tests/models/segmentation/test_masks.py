"""Masks as arrays: overlap, digests, encodings."""

import numpy as np
import pytest

from models.segmentation.masks import box_of, decode_mask, dice, encode_mask, iou, mask_sha256


def square(left: int, top: int, side: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_overlap_of_half_shifted_squares() -> None:
    a, b = square(2, 2, 4), square(4, 2, 4)
    assert iou(a, b) == pytest.approx(8 / 24)
    assert dice(a, b) == pytest.approx(0.5)


def test_two_empty_masks_agree_and_an_empty_one_with_a_full_one_does_not() -> None:
    nothing = np.zeros((4, 4), bool)
    assert iou(nothing, nothing) == dice(nothing, nothing) == 1
    assert iou(nothing, ~nothing) == dice(nothing, ~nothing) == 0


def test_a_box_holds_its_mask_exactly() -> None:
    assert box_of(square(3, 5, 4)) == (3, 5, 6, 8)
    with pytest.raises(ValueError, match="mask: empty, so it has no box"):
        box_of(np.zeros((4, 4), bool))


def test_a_mask_survives_its_encoding_and_no_other_has_its_digest() -> None:
    mask = np.random.default_rng(0).random((17, 23)) < 0.5
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)
    other = mask.copy()
    other[0, 0] ^= True
    digests = {mask_sha256(m) for m in (mask, other, mask.T, mask.reshape(23, 17))}
    assert len(digests) == 4
    assert mask_sha256(mask) == mask_sha256(mask.copy())
    with pytest.raises(ValueError, match="mask: 3 bytes that are no readable picture"):
        decode_mask(b"abc")
