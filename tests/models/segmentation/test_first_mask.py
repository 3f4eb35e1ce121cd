"""First masks: the drawn lesion is found by comparing with the same face without it."""

from pathlib import Path

import numpy as np
import pytest

from models.segmentation.first_mask import changed_regions, first_mask
from models.segmentation.masks import iou
from models.segmentation.sam import load_sam
from phantom.drawing import render, sample_phantom, sample_shot
from tests.toys.sam import save_sam

TWIN = Path("data/phantom/twins/sam")


def pair(seed: int, disease: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A face with the sign, the same without it, and the sign's mask."""
    rng = np.random.default_rng(seed)
    person, shot = sample_phantom(rng), sample_shot(rng)
    ill = render(person, shot, 96, disease, "heavy", "right")
    return ill.image, render(person, shot, 96).image, ill.lesion_mask > 0


@pytest.mark.parametrize("disease", ["bcc", "scc"])
def test_the_strongest_change_lies_on_the_tumour(disease: str) -> None:
    for seed in range(5):
        ill, healthy, truth = pair(seed, disease)
        regions = changed_regions(ill, healthy)
        assert (regions[0] & truth).sum() > 0.9 * regions[0].sum()


def test_what_changes_in_hair_and_background_is_no_lesion() -> None:
    _, healthy, _ = pair(0, "bcc")
    changed = healthy.copy()
    changed[:20], changed[:, :12], changed[:, -12:] = (200, 30, 30), (20, 200, 30), (20, 200, 30)
    assert changed_regions(changed, healthy) == []


def test_an_unchanged_face_has_no_first_mask(tmp_path: Path) -> None:
    _, healthy, _ = pair(0, "bcc")
    sam = load_sam(str(save_sam(tmp_path)))
    (embedding,) = sam.embed([healthy])
    assert first_mask(sam, embedding, healthy, healthy) is None


def test_with_the_twin_first_masks_cover_tumours() -> None:
    sam, found = load_sam(str(TWIN)), []
    for seed in range(20, 30):
        ill, healthy, truth = pair(seed, "bcc")
        (embedding,) = sam.embed([ill])
        proposal = first_mask(sam, embedding, ill, healthy)
        assert proposal is not None
        found.append(iou(proposal[0], truth))
    assert np.mean(found) > 0.6
