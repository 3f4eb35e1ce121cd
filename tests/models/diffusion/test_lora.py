from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from models.diffusion.latents import LatentMoments
from models.diffusion.lora import LoraSettings, add_lora, draw_rows, save_lora, train_lora, train_target
from tests.toys.generator import SavedGenerator

SETTINGS = LoraSettings(
    rank=4, alpha=4, targets="attention+convolutions", learning_rate=5e-3, betas=(0.9, 0.99), weight_decay=0.0,
    max_grad_norm=1.0, batch_size=4, epochs=4, warmup_steps=2, ema_decay=0.5,
    caption_dropout=0.1, precision="fp32", checkpoint_every=3, grid_every=0, seed=3,
)  # fmt: skip


@pytest.fixture
def unet(saved_generator: SavedGenerator) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(saved_generator.folder, subfolder="unet")


def scheduler(prediction_type: str = "v_prediction") -> DDPMScheduler:
    return DDPMScheduler(beta_schedule="scaled_linear", prediction_type=prediction_type)


def moments(num: int = 6) -> LatentMoments:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(num, 6, 8, 8)).astype(np.float16)
    return LatentMoments(mean, np.full_like(mean, 0.1), scaling_factor=0.7, shift_factor=0.0)


CAPTIONS = torch.tensor([1, 2, 1, 2, 1, 2])
TABLE = torch.randn(3, 77, 32, generator=torch.Generator().manual_seed(0))


def train(unet: UNet2DConditionModel, settings: LoraSettings, checkpoint: Path, **options) -> float:
    add_lora(unet, settings)
    return train_lora(unet, scheduler(), moments(), CAPTIONS, TABLE, settings, checkpoint=checkpoint, **options)


def lora_bytes(unet: UNet2DConditionModel, folder: Path, settings: LoraSettings = SETTINGS) -> bytes:
    save_lora(unet, folder, settings)
    return (folder / "pytorch_lora_weights.safetensors").read_bytes()


def test_every_epoch_sees_every_photo_once():
    windows = torch.cat([draw_rows(step, 6, SETTINGS) for step in range(6)])
    for epoch in windows.split(6):
        assert sorted(epoch.tolist()) == [0, 1, 2, 3, 4, 5]
    assert windows[:6].tolist() != windows[6:12].tolist()


def test_steps_are_those_of_the_paper():
    assert SETTINGS.changed(epochs=10, batch_size=32).num_steps(39_323) == 12_288


def test_target_is_noise_or_velocity():
    latents, noise, timesteps = torch.randn(2, 6, 8, 8), torch.randn(2, 6, 8, 8), torch.tensor([10, 700])
    torch.testing.assert_close(train_target(scheduler("epsilon"), latents, noise, timesteps), noise)
    share = scheduler().alphas_cumprod[timesteps][:, None, None, None]
    by_hand = share.sqrt() * noise - (1 - share).sqrt() * latents
    torch.testing.assert_close(train_target(scheduler(), latents, noise, timesteps), by_hand)
    with pytest.raises(ValueError, match=r"prediction_type: 'sample'; allowed: epsilon, v_prediction"):
        train_target(scheduler("sample"), latents, noise, timesteps)


def test_a_fresh_lora_changes_nothing_and_only_it_is_trained(unet: UNet2DConditionModel, tmp_path: Path):
    x, text = torch.randn(2, 6, 8, 8), TABLE[:2]
    before = unet(x, 500, text).sample.detach()
    frozen = {name: p.clone() for name, p in unet.named_parameters()}
    add_lora(unet, SETTINGS)
    torch.testing.assert_close(unet(x, 500, text).sample, before)
    train_lora(unet, scheduler(), moments(), CAPTIONS, TABLE, SETTINGS, checkpoint=tmp_path / "c.pt")
    after = dict(unet.named_parameters())
    for name, value in frozen.items():
        now = (
            after[name]
            if name in after
            else after[name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")]
        )
        assert torch.equal(now, value), name
    assert not torch.allclose(unet(x, 500, text).sample, before, atol=1e-3)


def test_targets_cover_what_they_say(unet: UNet2DConditionModel):
    add_lora(unet, SETTINGS)
    kinds = {type(m).__name__ for n, m in unet.named_modules() if n.endswith("lora_A.default")}
    assert kinds == {"Conv2d", "Linear"}


@pytest.mark.slow
def test_training_learns_what_all_photos_share(unet: UNet2DConditionModel, tmp_path: Path):
    alike = LatentMoments(np.full((6, 6, 8, 8), 3, np.float16), np.full((6, 6, 8, 8), 0.1, np.float16), 0.7, 0.0)
    losses = []
    for rate in (1e-9, 5e-3):
        settings = SETTINGS.changed(epochs=60, learning_rate=rate, ema_decay=0.0)
        add_lora(unet, settings)
        path = tmp_path / f"{rate}.pt"
        losses.append(train_lora(unet, scheduler(), alike, CAPTIONS, TABLE, settings, checkpoint=path))
        unet.delete_adapters("default")
    assert losses[1] < 0.7 * losses[0]


@pytest.mark.parametrize("killed_at", [2, 4, 5])
def test_a_killed_run_ends_with_the_same_bytes(
    saved_generator: SavedGenerator, unet: UNet2DConditionModel, tmp_path: Path, killed_at: int
):
    settings = SETTINGS.changed(grid_every=1)
    loss = train(unet, settings, tmp_path / "whole.pt")
    whole = lora_bytes(unet, tmp_path / "whole")

    def kill(step: int) -> None:
        if step == killed_at:
            raise KeyboardInterrupt

    again = UNet2DConditionModel.from_pretrained(saved_generator.folder, subfolder="unet")
    with pytest.raises(KeyboardInterrupt):
        train(again, settings, tmp_path / "cut.pt", grid=kill)
    resumed = UNet2DConditionModel.from_pretrained(saved_generator.folder, subfolder="unet")
    assert train(resumed, settings, tmp_path / "cut.pt") == loss
    assert lora_bytes(resumed, tmp_path / "cut") == whole


def test_rows_computed_one_at_a_time_keep_the_step(
    saved_generator: SavedGenerator, unet: UNet2DConditionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train(unet, SETTINGS, tmp_path / "whole.pt")
    lora_bytes(unet, tmp_path / "whole")
    monkeypatch.setenv("MEMA_MICRO_BATCH", "1")
    other = UNet2DConditionModel.from_pretrained(saved_generator.folder, subfolder="unet")
    train(other, SETTINGS, tmp_path / "parts.pt")
    lora_bytes(other, tmp_path / "parts")
    a, b = (load_file(tmp_path / name / "pytorch_lora_weights.safetensors") for name in ("whole", "parts"))
    for key, value in a.items():
        torch.testing.assert_close(b[key], value, rtol=1e-2, atol=2e-4, msg=key)


@pytest.mark.parametrize("targets", ["attention", "attention+convolutions"])
def test_the_file_loads_in_diffusers_with_its_alpha(saved_generator: SavedGenerator, tmp_path: Path, targets: str):
    settings = SETTINGS.changed(targets=targets, alpha=2.0)  # type: ignore[arg-type]
    pipeline = StableDiffusionPipeline.from_pretrained(saved_generator.folder)
    train(pipeline.unet, settings, tmp_path / "c.pt")
    save_lora(pipeline.unet, tmp_path, settings)
    x, text = torch.randn(2, 6, 8, 8), TABLE[:2]
    fresh = StableDiffusionPipeline.from_pretrained(saved_generator.folder)
    fresh.load_lora_weights(tmp_path)
    fresh.fuse_lora(components=["unet"])
    fresh.unload_lora_weights()
    with torch.no_grad():
        torch.testing.assert_close(fresh.unet(x, 300, text).sample, pipeline.unet(x, 300, text).sample)


def test_bf16_trains_fp32_weights(unet: UNet2DConditionModel, tmp_path: Path):
    train(unet, SETTINGS.changed(precision="bf16"), tmp_path / "c.pt")
    trained = [p for p in unet.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    assert all(p.isfinite().all() for p in trained)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match=r"train_lora.precision: fp16 .* allowed: bf16, fp32"):
        SETTINGS.changed(precision="fp16")
