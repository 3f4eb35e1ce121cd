"""Run lengths of masks: the same bytes as the SDK's, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter.brush import decode_rle, mask2rle

from mema.label_studio.sam.brush import brush_region, encode_rle


def sdk(mask: np.ndarray) -> list[int]:
    return mask2rle(mask.astype(np.uint8) * 255)


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24))))
def test_equals_the_sdk_on_any_mask(mask: np.ndarray) -> None:
    assert encode_rle(mask) == sdk(mask)


@pytest.mark.parametrize("run", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 32768, 32769, 40000, 49152, 49153])
def test_equals_the_sdk_where_the_length_changes_its_width(run: int) -> None:
    """A run of pixels is four times as long; widths change above 8, 16 and 256, and 65,536 is cut."""
    for lead in (0, 1):
        mask = np.zeros((1, lead + run + 3), bool)
        mask[0, lead : lead + run] = True
        assert encode_rle(mask) == sdk(mask)
        assert encode_rle(~mask) == sdk(~mask)


def test_a_large_mask_comes_back() -> None:
    ys, xs = np.mgrid[:512, :512]
    mask = (np.hypot(ys - 300, xs - 200) < 120) ^ (np.random.default_rng(0).random((512, 512)) < 0.01)
    assert (decode_rle(encode_rle(mask)).reshape(512, 512, 4) == 255 * mask[..., None]).all()


def test_region_names_the_controls_of_the_interface() -> None:
    region = brush_region("a1", np.eye(3, 5, dtype=bool), 0.5)
    assert (region["from_name"], region["to_name"], region["type"]) == ("lesion", "face", "brushlabels")
    assert (region["original_width"], region["original_height"]) == (5, 3)
    assert region["value"]["brushlabels"] == ["lesion"]
    assert region["value"]["format"] == "rle"
    assert region["value"]["rle"] == sdk(np.eye(3, 5, dtype=bool))
