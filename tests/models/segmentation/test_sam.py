"""SAM's interface on the real classes: places map to places, whatever the size of the picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamModel

from models.segmentation.sam import Prompt, Sam, load_sam
from tests.toys.sam import save_sam

IMAGE = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Sam:
    return load_sam(str(save_sam(tmp_path_factory.mktemp("sam"))))


def test_an_embedding_does_not_depend_on_its_neighbours(sam: Sam) -> None:
    other = 255 - IMAGE
    together = sam.embed([IMAGE, other])
    assert together.dtype == torch.float16
    torch.testing.assert_close(together[0], sam.embed([IMAGE])[0], atol=2e-3, rtol=0)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("size", [(96, 96), (48, 96), (200, 120)])
def test_masks_have_the_size_of_the_image(sam: Sam, size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    (embedding,) = sam.embed([image])
    one = sam.segment(embedding, size, Prompt(((10, 20),), (True,)))
    assert one.masks.shape == (3, *size)
    assert list(one.scores) == sorted(one.scores, reverse=True)
    more = sam.segment(embedding, size, Prompt(((10, 20), (30, 5)), (True, False), (2, 3, 40, 41)))
    assert more.masks.shape == (1, *size)


def test_the_same_mask_comes_back_as_from_the_library(sam: Sam, tmp_path: Path) -> None:
    """At the network's own size neither prompt nor mask is scaled, so both must agree to the pixel."""
    model = SamModel.from_pretrained(save_sam(tmp_path)).eval()
    pixels = sam.processor(IMAGE, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = model(pixel_values=pixels, input_boxes=torch.tensor([[[8.0, 9.0, 50.0, 60.0]]]), multimask_output=False)
    (embedding,) = sam.embed([IMAGE])
    found = sam.segment(embedding, (96, 96), Prompt(box=(8, 9, 50, 60))).best
    agreement = (found == (out.pred_masks[0, 0, 0].numpy() > 0)).mean()
    assert agreement > 0.995  # the stored embedding is fp16


def test_padding_of_a_narrow_picture_is_cut_off(sam: Sam) -> None:
    logits = torch.zeros(1, 96, 96)
    logits[:, :, 48:] = 1.0
    wide = sam._to_image(logits, (40, 80))
    assert wide.shape == (1, 40, 80)
    assert (wide[0, :, :38] < 0.5).all()
    assert (wide[0, :, 42:] > 0.5).all()


@pytest.mark.parametrize("size", [(96, 96), (48, 96), (200, 120), (33, 71)])
def test_masks_are_resampled_as_by_interpolating_twice(sam: Sam, size: tuple[int, int]) -> None:
    logits = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))
    height, width = (int(length * 96 / max(size) + 0.5) for length in size)
    full = torch.nn.functional.interpolate(logits[None], (96, 96), mode="bilinear")
    expected = torch.nn.functional.interpolate(full[..., :height, :width], size, mode="bilinear")[0]
    torch.testing.assert_close(sam._to_image(logits, size), expected, atol=1e-5, rtol=0)


def test_prompts_scale_from_pixel_centre_to_pixel_centre(sam: Sam) -> None:
    tensors = sam._prompt_tensors(Prompt(((0, 0), (191, 191)), (True, True)), (192, 192))
    assert tensors["input_points"][0, 0].tolist() == [[-0.25, -0.25], [95.25, 95.25]]


def test_an_incomplete_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="points, box: neither given"):
        Prompt()
    with pytest.raises(ValueError, match="positive: 1 flags for 2 points"):
        Prompt(((1, 2), (3, 4)), (True,))


def test_a_missing_checkpoint_says_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"prelabel\.sam: no checkpoint at 'nowhere/at-all'"):
        load_sam("nowhere/at-all")
