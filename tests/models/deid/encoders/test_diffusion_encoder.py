"""Enc_med is the first block of the fine-tuned UNet, and loads without the pipeline."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel

from models.deid.encoders.diffusion_encoder import DiffusionEncoder, build_diffusion_encoder
from models.deid.encoders.medical_encoder import load_medical_encoder
from models.diffusion.latents import factors, to_unet
from models.diffusion.lora import LoraSettings, add_lora, save_lora

GENERATOR = Path("data/phantom/twins/generator")
PROMPT = "A face, eye"
SETTINGS = LoraSettings(
    rank=4, alpha=8, targets="attention+convolutions", learning_rate=1e-3, betas=(0.9, 0.99), weight_decay=0.0,
    max_grad_norm=1.0, batch_size=4, epochs=1, warmup_steps=0, ema_decay=0.0,
    caption_dropout=0.0, precision="fp32", checkpoint_every=9, grid_every=0, seed=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of random weights, strong enough to be seen in the features."""
    folder = tmp_path_factory.mktemp("lora")
    unet = UNet2DConditionModel.from_pretrained(GENERATOR, subfolder="unet", torch_dtype=torch.float32)
    add_lora(unet, SETTINGS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    save_lora(unet, folder, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def first_block(images: torch.Tensor, lora: Path | None, timestep: int, prompt: str) -> torch.Tensor:
    """What stock diffusers computes on the way through the whole UNet, with the LoRA left unfused."""
    pipeline = StableDiffusionPipeline.from_pretrained(GENERATOR, safety_checker=None, dtype=torch.float32)
    if lora is not None:
        pipeline.load_lora_weights(lora)
    seen: list[torch.Tensor] = []
    pipeline.unet.down_blocks[0].register_forward_hook(lambda _, __, output: seen.append(output[0]))
    latents = pipeline.vae.encode(images).latent_dist.mean
    text, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
    pipeline.unet(to_unet(latents, *factors(pipeline.vae)), timestep, text.expand(len(images), -1, -1))
    return seen[0]


def test_the_map_is_that_of_the_whole_unet_and_survives_the_folder(lora, images, tmp_path):
    wanted = first_block(images, lora, 100, PROMPT)
    encoder = build_diffusion_encoder(GENERATOR, lora, timestep=100, prompt=PROMPT)
    encoder.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = load_medical_encoder(tmp_path)
    assert again.channels == 96
    for found in (encoder(images), again(images)):
        assert found.shape == (2, 96, 6, 6)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_lora_timestep_and_prompt_each_change_the_map(lora, images):
    def features(lora: Path | None, timestep: int, prompt: str) -> torch.Tensor:
        return build_diffusion_encoder(GENERATOR, lora, timestep=timestep, prompt=prompt)(images)

    base = features(lora, 100, PROMPT)
    for other in (features(None, 100, PROMPT), features(lora, 400, PROMPT), features(lora, 100, "")):
        assert (other - base).abs().mean() > 1e-3 * base.abs().mean()


def test_gradients_reach_the_images_and_no_weight(images):
    encoder = build_diffusion_encoder(GENERATOR, None, timestep=100, prompt="").train()
    x = images.clone().requires_grad_()
    encoder(x).square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.training


def test_the_halves_make_the_whole_and_batches_do_not_mix(images):
    encoder = build_diffusion_encoder(GENERATOR, None, timestep=100, prompt="")
    whole = encoder(images)
    torch.testing.assert_close(encoder.encode_latents(encoder.latents(images)), whole)
    torch.testing.assert_close(encoder(images[1:]), whole[1:], rtol=1e-4, atol=1e-4)


def test_at_the_size_of_stable_diffusion_the_map_is_the_papers():
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=0.18215,
        )  # fmt: skip
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        encoder = DiffusionEncoder(vae, unet, torch.zeros(1, 77, 768), timestep=100, prompt="")
        shape = encoder(torch.zeros(1, 3, 512, 512)).shape
    assert shape == (1, 320, 32, 32)
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    assert 40e6 < parameters < 50e6  # of the pipeline's billion


def test_networks_of_another_stride_are_refused(images):
    vae = AutoencoderKL(block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
                        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4)  # fmt: skip
    unet = UNet2DConditionModel.from_pretrained(GENERATOR, subfolder="unet")
    with pytest.raises(ValueError, match=r"divide the sides by 4; Enc_med needs 16"):
        DiffusionEncoder(vae, unet, torch.zeros(1, 16, 128), timestep=1, prompt="")


def test_a_folder_without_an_encoder_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match=r"no .*config\.json; run train_medical_encoder"):
        load_medical_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "crayon"}')
    with pytest.raises(ValueError, match=r"kind: 'crayon'; allowed: .*diffusion"):
        load_medical_encoder(tmp_path)
