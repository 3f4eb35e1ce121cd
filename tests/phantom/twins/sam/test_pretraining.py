"""The encoder's own training: its targets leave out what is unknown, it learns, and it resumes exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.diseases import DISEASES
from phantom.twins.sam import pretraining
from phantom.twins.sam.phantom_scenes import PARTS, Scenes
from phantom.twins.sam.pretraining import part_loss, part_targets, pretrain_encoder
from phantom.twins.sam.twin_network import twin_sam

SETTINGS = {"batch_size": 2, "learning_rate": 1e-3, "seed": 1, "checkpoint_every": 2}


def scenes(diseases: list[str]) -> Scenes:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(diseases), 96, 96, 3), np.uint8)
    parts = np.zeros((len(diseases), 96, 96), np.uint16)
    parts[:, 10:30, 40:60] = 1 << PARTS.index("mouth")
    return Scenes(images, parts, np.array([DISEASES.index(name) for name in diseases]))


def test_only_known_parts_are_asked_for() -> None:
    target, known = part_targets(scenes(["normal", "bcc", "ptosis"]), np.arange(3))
    assert known.sum(1).tolist() == [len(PARTS), len(PARTS), 2]
    assert target[:, PARTS.index("mouth")].sum((1, 2)).tolist() == [400, 400, 400]
    assert target.sum() == 1200


def test_the_loss_sees_known_parts_alone() -> None:
    target, known = part_targets(scenes(["ptosis"]), np.arange(1))
    right, wrong = target * 20 - 10, target * 20 - 10
    wrong[:, PARTS.index("pupil_left")] = 10
    assert torch.equal(part_loss(right, target, known), part_loss(wrong, target, known))
    assert part_loss(-right, target, known) > part_loss(right, target, known) + 1


def encoder_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = twin_sam(96)
    pretrain_encoder(model, scenes(["normal", "bcc", "scc"]), steps=4, checkpoint=checkpoint, **SETTINGS)
    return model.vision_encoder.state_dict()


def test_a_killed_pretraining_ends_with_the_encoder_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    untrained = twin_sam(96).vision_encoder.state_dict()
    whole = encoder_of(tmp_path / "whole")
    calls, augment = [], pretraining.augment_in_place

    def killed_in_the_fourth(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return augment(*arguments)

    monkeypatch.setattr(pretraining, "augment_in_place", killed_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        encoder_of(tmp_path / "killed")
    resumed = encoder_of(tmp_path / "killed")
    assert len(calls) == 6
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0)
    assert not torch.equal(whole["patch_embed.projection.weight"], untrained["patch_embed.projection.weight"])
