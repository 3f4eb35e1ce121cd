"""The transformers of Table 10: maps of the right shape, learnt from faces, resumable, loaded without a pipeline."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTMAEForPreTraining

from models.deid.encoders import vit_encoder
from models.deid.encoders.medical_encoder import MedicalFaces, load_medical_encoder
from models.deid.encoders.vit_encoder import VitEncoder, VitOptions, build, normalised, train
from models.diseases import DISEASES

OPTIONS = VitOptions(
    pretrained="", patch_px=8, width=32, num_layers=1, num_heads=2, mlp_width=48, mask_ratio=0.5, epochs=6,
    batch_size=8, learning_rate=2e-3, weight_decay=0.01, warmup_steps=2, precision="fp32", checkpoint_every=4, seed=1,
)  # fmt: skip


def faces(num: int = 16) -> MedicalFaces:
    """Ramps of 48 px that repeat with every patch, in a colour that tells the disease."""
    images = np.zeros((num, 48, 48, 3), np.uint8)
    ramp = np.tile(np.linspace(0.3, 1, 8), 6)[:, None, None]
    for i in range(num):
        colour = [60 + 190 * ((i % len(DISEASES)) >> bit & 1) for bit in range(3)]
        images[i] = np.broadcast_to(ramp * colour, (48, 48, 3))
    return MedicalFaces(images, [DISEASES[i % len(DISEASES)] for i in range(num)], [""] * num)


def signal(num: int = 8) -> torch.Tensor:
    return torch.from_numpy(np.stack(faces(num).images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.parametrize("kind", ["vit", "vit_mae"])
def test_tuning_leaves_a_folder_that_loads_to_the_same_map(kind, tmp_path):
    encoder, metrics = VitEncoder.fine_tune(kind, faces(), OPTIONS, tmp_path / "scratch")
    encoder.save(tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    again = load_medical_encoder(tmp_path / "out")
    assert isinstance(again, VitEncoder)
    assert (again.kind, again.channels) == (kind, 32)
    assert again(signal()).shape == (8, 32, 3, 3)
    torch.testing.assert_close(again(signal()), encoder(signal()))
    assert (metrics["photos"], metrics["steps"], metrics["images_seen"]) == (16, 12, 96)


def test_a_supervised_network_learns_the_diseases(tmp_path):
    options = OPTIONS.changed(epochs=20, learning_rate=5e-3)
    network, moments = build("vit", options, 48)
    train(network, faces(), moments, options, checkpoint=tmp_path / "c.pt")
    told = network(normalised(signal(), moments)).logits.argmax(1)
    assert (told == torch.arange(8)).float().mean() >= 7 / 8


def test_a_masked_autoencoder_learns_the_pictures(tmp_path):
    losses = []
    for epochs in (1, 20):
        options = OPTIONS.changed(epochs=epochs, learning_rate=5e-3)
        network, moments = build("vit_mae", options, 48)
        losses.append(train(network, faces(), moments, options, checkpoint=tmp_path / f"{epochs}.pt"))
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", ["vit", "vit_mae"])
def test_a_killed_run_ends_with_the_same_weights(kind, tmp_path, monkeypatch):
    whole, _ = VitEncoder.fine_tune(kind, faces(), OPTIONS, tmp_path / "whole")
    rate = vit_encoder.cosine_rate

    def kill(step: int, *rest: int) -> float:
        if step == 6:
            raise KeyboardInterrupt
        return rate(step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(vit_encoder, "cosine_rate", kill)
        with pytest.raises(KeyboardInterrupt):
            VitEncoder.fine_tune(kind, faces(), OPTIONS, tmp_path / "cut")
    resumed, _ = VitEncoder.fine_tune(kind, faces(), OPTIONS, tmp_path / "cut")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


@torch.no_grad()
def test_the_map_of_a_masked_autoencoder_is_its_unhidden_tokens():
    network, moments = build("vit_mae", OPTIONS, 48)
    assert isinstance(network, ViTMAEForPreTraining)
    encoder = VitEncoder(vit_encoder._transformer(network), "vit_mae", moments)
    network.config.mask_ratio = 0.0
    order = torch.arange(36.0)[None].expand(8, -1)  # nothing hidden, nothing shuffled
    tokens = network.vit(normalised(signal(), moments), noise=order).last_hidden_state[:, 1:]
    wanted = tokens.mT.reshape(8, 32, 3, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(encoder(signal()), wanted, rtol=1e-3, atol=1e-4)


def test_gradients_reach_the_images_alone_and_other_sizes_work(tmp_path):
    encoder, _ = VitEncoder.fine_tune("vit", faces(), OPTIONS.changed(epochs=1), tmp_path)
    x = torch.nn.functional.interpolate(signal(2), size=80).requires_grad_()
    found = encoder(x)
    assert found.shape == (2, 32, 5, 5)
    found.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_pretrained_folder_is_taken_with_its_moments(tmp_path):
    sizes = ViTConfig(image_size=32, patch_size=16, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
                      intermediate_size=32)  # fmt: skip
    network = ViTForImageClassification(sizes)
    network.save_pretrained(tmp_path / "pretrained")
    text = '{"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1]}'
    Path(tmp_path / "pretrained/preprocessor_config.json").write_text(text)
    options = OPTIONS.changed(pretrained=str(tmp_path / "pretrained"), learning_rate=1e-12, epochs=1)
    encoder, _ = VitEncoder.fine_tune("vit", faces(), options, tmp_path / "scratch")
    encoder.save(tmp_path / "out")
    x = signal()
    by_hand = torch.stack([(x[:, c] / 2 + 0.5 - m) / s for c, m, s in ((0, 0.4, 0.2), (1, 0.5, 0.3), (2, 0.6, 0.1))], 1)
    tokens = network.vit(by_hand, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
    wanted = tokens.mT.unflatten(2, (3, 3))
    torch.testing.assert_close(load_medical_encoder(tmp_path / "out")(x), wanted, rtol=1e-3, atol=1e-3)


def test_patches_that_do_not_fit_and_a_loss_that_is_no_number_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"vit\.patch_px: 10 does not divide images of 48 px"):
        build("vit", OPTIONS.changed(patch_px=10), 48)
    with pytest.raises(ValueError, match=r"vit\.learning_rate: the loss is nan at 1e\+30; lower it"):
        VitEncoder.fine_tune("vit", faces(), OPTIONS.changed(learning_rate=1e30), tmp_path)
