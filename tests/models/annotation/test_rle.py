"""The decoder against the SDK's, on what the SDK writes and on what a browser writes; and damage."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter import brush

from models.annotation.rle import decode_rle

HEADER = f"{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"


def bytes_of(bits: str) -> list[int]:
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def browser_rle(values: np.ndarray) -> list[int]:
    """Runs where values repeat, else literals in one block, as rle-pack writes colours."""
    bits, literals = [f"{len(values):032b}{HEADER}"], []

    def flush() -> None:
        if literals:
            bits.append("011" + f"{len(literals) - 1:016b}" + "".join(f"{value:08b}" for value in literals))
            literals.clear()

    starts = np.flatnonzero(np.diff(values, prepend=values[0] ^ 1))
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        if end - start == 1:
            literals.append(int(values[start]))
            continue
        flush()
        for first in range(start, end, 65536):
            bits.append("111" + f"{min(end - first, 65536) - 1:016b}{int(values[start]):08b}")
    flush()
    return bytes_of("".join(bits))


@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
@settings(deadline=None, max_examples=60)
def test_every_mask_of_the_sdk_comes_back(mask):
    assert (decode_rle(brush.mask2rle(mask.astype(np.uint8) * 255), mask.shape) == mask).all()


@given(arrays(np.uint8, (5, 7, 4), elements=st.sampled_from([0, 0, 0, 13, 56, 127, 128, 212, 255])))
@settings(deadline=None, max_examples=60)
def test_colours_and_soft_edges_decode_as_by_the_sdk(rgba):
    for code in (browser_rle(rgba.ravel()), brush.encode_rle(rgba.ravel())):
        expected = brush.decode_rle(code).reshape(5, 7, 4)
        assert (expected == rgba).all()
        assert (decode_rle(code, (5, 7)) == (expected[..., 3] > 127)).all()


def test_a_code_cut_anywhere_is_refused():
    mask = np.random.default_rng(0).random((9, 9)) < 0.5
    code = brush.mask2rle(mask.astype(np.uint8) * 255)
    for length in range(len(code) - 1):  # the last byte may be padding alone
        with pytest.raises(ValueError, match="rle: "):
            decode_rle(code[:length], mask.shape)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ([300] * 9, "not a list of bytes"),
        (None, "not a list of bytes"),
        (["7"] * 9, "not a list of bytes"),
        ([0, 0, 0], "hold no header"),
        ([255] * 40, "4294967295 values for 2x2 px"),  # and no four gigabytes are asked for
        (bytes_of(f"{16:032b}{15:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" * 99), "words of 16 bits"),
        (bytes_of(f"{16:032b}{HEADER}111{16:016b}{255:08b}"), "a run ends at value 17 of 16"),
    ],
)
def test_garbage_is_refused_with_what_is_wrong(code, fault):
    with pytest.raises(ValueError, match=fault):
        decode_rle(code, (2, 2))


def test_a_code_of_another_size_is_refused():
    with pytest.raises(ValueError, match="612 values for 16x9 px with 4 channels"):
        decode_rle(brush.mask2rle(np.zeros((9, 17), np.uint8)), (16, 9))


def test_a_mask_of_the_browser_decodes_many_times_faster_than_by_the_sdk():
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[60:140, 50:130] = 212, 56, 13, 255
    code = browser_rle(rgba.ravel())
    start = time.process_time()
    mask = decode_rle(code, (256, 256))
    ours = time.process_time() - start
    start = time.process_time()
    theirs = brush.decode_rle(code)
    assert 10 * ours < time.process_time() - start  # 200 times where nothing else runs
    assert (mask.ravel() == (theirs[3::4] > 127)).all()
