"""SAM's training: the encoder learns too, and a killed run ends with the weights of one that was not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.segmentation.sam import load_sam
from phantom.twins.sam.phantom_scenes import Scenes, phantom_scenes
from phantom.twins.sam.training import Hand, mask_losses, train_sam
from phantom.twins.sam.twin_network import save_twin, twin_sam

SETTINGS = {"batch_size": 2, "learning_rate": 1e-3, "seed": 1, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return phantom_scenes(tmp_path_factory.mktemp("s"), num_scenes=12, size=96, seed=5, workers=1)


def trained(scenes: Scenes, checkpoint: Path, *stops: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = twin_sam(96)
    for steps in stops:
        train_sam(model, scenes, steps=steps, checkpoint=checkpoint, **SETTINGS)
    return model.state_dict()


def test_every_part_that_a_prompt_uses_learns(scenes: Scenes, tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = twin_sam(96).state_dict()
    after = trained(scenes, tmp_path / "a.pt", 2)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    for part in ("vision_encoder.patch_embed", "vision_encoder.layers.0.attn.qkv", "vision_encoder.neck.conv2",
                 "prompt_encoder.point_embed", "mask_decoder.iou_prediction_head"):  # fmt: skip
        assert any(name.startswith(part) for name in moved), part


def test_a_resumed_training_gives_the_same_weights(scenes: Scenes, tmp_path: Path) -> None:
    whole = trained(scenes, tmp_path / "whole.pt", 4)
    torch.manual_seed(0)
    killed = twin_sam(96)
    with pytest.raises(KeyboardInterrupt):
        train_sam(killed, Stopping(scenes, 3), steps=4, checkpoint=tmp_path / "killed.pt", **SETTINGS)
    resumed = trained(scenes, tmp_path / "killed.pt", 4)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0)


class Stopping(Scenes):
    """Scenes that end the process, as Ctrl-C does, in a given step."""

    def __init__(self, scenes: Scenes, step: int):
        object.__setattr__(self, "_wrapped", scenes)
        object.__setattr__(self, "_calls_left", step * SETTINGS["batch_size"])
        super().__init__(scenes.images, scenes.parts, scenes.disease)

    def masks(self, index: int) -> dict[str, np.ndarray]:
        object.__setattr__(self, "_calls_left", self._calls_left - 1)
        if self._calls_left < 0:
            raise KeyboardInterrupt
        return super().masks(index)


def test_the_loss_takes_the_best_of_the_candidates() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:6, 2:6] = 1
    right = (target * 20 - 10)[:, :, None]
    logits, scores = (torch.cat([-right, right, torch.zeros_like(right)], 2), torch.tensor([[[0.0, 1.0, 0.25]]]))
    loss, mask = mask_losses(logits, scores, target)
    assert np.array_equal(mask[0, 0], target[0, 0].numpy() > 0)
    assert loss.item() < 0.05
    worse, _ = mask_losses(logits[:, :, :1], scores[:, :, :1], target)
    assert worse.item() > 1


def test_a_hand_corrects_with_one_click_a_round() -> None:
    truths = np.zeros((1, 2, 16, 16), bool)
    truths[..., 4:10, 4:10] = True
    hand = Hand(truths, np.random.default_rng(1))
    before = hand.tensors().get("input_points")
    hand.correct(np.zeros_like(truths))
    points, labels = hand.tensors()["input_points"], hand.tensors()["input_labels"]
    assert points.shape[:2] == (1, 2)
    assert points.shape[2] == (1 if before is None else before.shape[2] + 1)
    assert labels[..., -1].tolist() == [[1, 1]]


def test_a_saved_twin_loads_as_any_checkpoint_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = twin_sam(96)
    save_twin(model, tmp_path)
    sam = load_sam(str(tmp_path))
    image = np.full((96, 96, 3), 127, np.uint8)
    pixels = torch.full((1, 3, 96, 96), 127 / 127.5 - 1)
    with torch.no_grad():
        expected = model.eval().vision_encoder(pixels).last_hidden_state
    torch.testing.assert_close(sam.embed([image]).float(), expected, atol=2e-2, rtol=0)


def test_a_click_and_the_image_speak_of_the_same_places() -> None:
    torch.manual_seed(0)
    model = twin_sam(96)
    encoder = model.prompt_encoder
    place = encoder(torch.tensor([[[[30.0, 45.0]]]]), torch.ones(1, 1, 1, dtype=torch.long), None, None)[0][0, 0, 0]
    place = place - encoder.point_embed[1].weight[0]
    nearness = torch.einsum("c,chw->hw", place, model.get_image_wide_positional_embeddings()[0])
    row, column = divmod(int(nearness.argmax()), 24)
    assert (column, row) == (30 // 4, 45 // 4)
    assert nearness[row, column] > 3 * nearness[row, (column + 8) % 24].abs()


def test_an_untrained_decoder_hears_its_prompts() -> None:
    torch.manual_seed(0)
    model = twin_sam(96)
    points = torch.tensor([[[[30.0, 45.0]], [[66.0, 45.0]]]])
    out = model(
        image_embeddings=torch.randn(1, 96, 24, 24), input_points=points,
        input_labels=torch.ones(1, 2, 1, dtype=torch.long),
    )  # fmt: skip
    assert (out.pred_masks[0, 0] - out.pred_masks[0, 1]).abs().mean() > 0.1 * out.pred_masks.std()
