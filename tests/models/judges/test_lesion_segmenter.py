"""The judge of outlines: overlaps by hand and as MONAI's, masks that move with faces, training that resumes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics.meandice import DiceMetric
from monai.metrics.meaniou import MeanIoU
from torch.nn import functional as F

from models.judges import lesion_segmenter
from models.judges.lesion_segmenter import (
    OutlinedFaces,
    SegmenterTraining,
    deeply_supervised,
    dice_and_jaccard,
    lesion_unet,
    load_lesion_segmenter,
    overlap_and_entropy,
    placed,
    save_lesion_segmenter,
    train_lesion_segmenter,
    write_config,
)

TRAINING = SegmenterTraining(filters=(4, 8, 8, 8), steps=4, batch_size=2, learning_rate=3e-3, seed=5)


def toy(num: int = 6) -> OutlinedFaces:
    """Grey faces with one dark square each."""
    rng = np.random.default_rng(0)
    images = rng.integers(140, 180, (num, 64, 64, 3)).astype(np.uint8)
    masks = np.zeros((num, 64, 64), bool)
    for k, (top, left) in enumerate(rng.integers(14, 34, (num, 2))):
        masks[k, top : top + 14, left : left + 14] = True
    images[masks] = 20
    return OutlinedFaces(images, masks)


def train(path: Path, training: SegmenterTraining = TRAINING):
    torch.set_num_threads(1)
    return train_lesion_segmenter(toy(), training, checkpoint=path, checkpoint_every=2)


def test_overlaps_of_a_case_by_hand():
    found, truth = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    truth[0] = True  # 4 px
    found[0, 1:] = found[1, 1:] = True  # 6 px, of which 3 are right
    assert dice_and_jaccard(found, truth) == pytest.approx((2 * 3 / 10, 3 / 7))
    assert dice_and_jaccard(truth, truth) == (1.0, 1.0)
    assert dice_and_jaccard(~truth, truth) == (0.0, 0.0)
    assert dice_and_jaccard(np.zeros((4, 4), bool), truth) == (0.0, 0.0)
    assert np.isnan(dice_and_jaccard(found, np.zeros((4, 4), bool))).all()
    with pytest.raises(ValueError, match=r"\(4, 5\) found for \(4, 4\) px"):
        dice_and_jaccard(np.zeros((4, 5), bool), truth)


def test_overlaps_and_their_means_are_monais():
    rng = np.random.default_rng(1)
    found, truth = rng.random((6, 12, 12)) < 0.4, rng.random((6, 12, 12)) < 0.5
    truth[2], found[3] = False, False
    pair = [torch.from_numpy(x)[:, None].float() for x in (found, truth)]
    ours = np.array([dice_and_jaccard(f, t) for f, t in zip(found, truth, strict=True)])
    for column, metric in enumerate((DiceMetric(reduction="none"), MeanIoU(reduction="none"))):
        theirs = metric(*pair).numpy()[:, 0]
        np.testing.assert_allclose(ours[:, column], theirs, atol=1e-6)
        assert np.isnan(theirs[2])
        assert np.nanmean(ours[:, column]) == pytest.approx(np.nanmean(theirs))


def test_the_loss_is_dice_and_cross_entropy_weighted_by_head():
    generator = torch.Generator().manual_seed(0)
    answers = torch.randn(3, 2, 2, 8, 8, generator=generator)
    masks = torch.rand(3, 1, 8, 8, generator=generator) < 0.3

    def by_hand(logits: torch.Tensor) -> torch.Tensor:
        share, truth = logits.softmax(1)[:, 1], masks[:, 0].float()
        overlap = (2 * (share * truth).sum() + 1e-5) / (share.sum() + truth.sum() + 1e-5)
        return 1 - overlap + F.cross_entropy(logits, masks[:, 0].long())

    expected = (by_hand(answers[:, 0]) + 0.5 * by_hand(answers[:, 1])) / 1.5
    assert deeply_supervised(answers, masks, overlap_and_entropy()).item() == pytest.approx(expected.item(), abs=1e-5)
    single = deeply_supervised(answers[:, 0], masks, overlap_and_entropy())
    assert single.item() == pytest.approx(by_hand(answers[:, 0]).item(), abs=1e-5)


def test_masks_move_with_their_faces():
    data = toy(40)
    faces = torch.from_numpy(data.images).permute(0, 3, 1, 2).float()
    moved, masks = placed(faces, torch.from_numpy(data.masks), torch.Generator().manual_seed(0))
    dark = moved.mean(1, keepdim=True) < 80
    overlap = (dark & masks).sum((1, 2, 3)) / (dark | masks).sum((1, 2, 3)).clamp(min=1)
    assert overlap.median() > 0.9
    assert (masks[:, 0].numpy() != data.masks).any((1, 2)).all()
    areas = masks.sum((1, 2, 3)).float()
    assert areas.max() > 1.3 * areas[areas > 0].min()


def test_training_continued_equals_training_at_once(tmp_path, monkeypatch):
    whole = train(tmp_path / "a.pt")
    kept = lesion_segmenter.save_checkpoint

    def killed(path, step, *args, **modules):
        kept(path, step, *args, **modules)
        raise KeyboardInterrupt

    monkeypatch.setattr(lesion_segmenter, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b.pt")
    monkeypatch.setattr(lesion_segmenter, "save_checkpoint", kept)
    again = train(tmp_path / "b.pt")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_saves_loads_and_answers_at_the_images_size(tmp_path):
    judge = train(tmp_path / "a.pt", replace(TRAINING, steps=1))
    save_lesion_segmenter(judge, TRAINING.filters, tmp_path / "out")
    loaded, images = load_lesion_segmenter(tmp_path / "out"), list(toy().images)
    for mine, theirs in zip(judge.segment(images), loaded.segment(images), strict=True):
        assert np.array_equal(mine, theirs)
    flipped = loaded.segment([image[:, ::-1] for image in images])
    agreement = [np.mean(a[:, ::-1] == b) for a, b in zip(flipped, loaded.segment(images), strict=True)]
    assert min(agreement) > 0.999
    assert [m.shape for m in loaded.segment([np.zeros((128, 100, 3), np.uint8)])] == [(128, 100)]
    assert loaded.segment([]) == []


def test_coarse_heads_learn_only_while_training():
    network = lesion_unet((4, 8, 8, 8, 8))
    assert network.train()(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 2, 64, 64)
    assert network.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 2, 64, 64)


def test_sizes_that_cannot_be_halved_and_missing_judges_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image_size_px: 64 for 6 levels; give a multiple of 32, at least 128"):
        train(tmp_path / "a.pt", replace(TRAINING, filters=(4,) * 6))
    with pytest.raises(ValueError, match="run the stage train_judges"):
        load_lesion_segmenter(tmp_path)
    write_config(tmp_path, {"reason": "no outlines"})
    assert load_lesion_segmenter(tmp_path) == "no outlines"


@pytest.mark.slow
def test_learns_to_outline_dark_squares(tmp_path):
    judge = train(tmp_path / "a.pt", replace(TRAINING, steps=120, batch_size=4))
    data = toy(12)
    found = judge.segment(list(data.images))
    assert np.mean([dice_and_jaccard(*pair)[0] for pair in zip(found, data.masks, strict=True)]) > 0.8
