# pyright: reportArgumentType=false
"""A Stable Diffusion pipeline of the real classes at toy size, saved as in production, with IP-Adapter."""

import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from models.diffusion.ip_adapter import attach

IMAGE_SIZE = 32


@dataclass(frozen=True)
class SavedGenerator:
    """A pipeline directory and an IP-Adapter file on disk."""

    folder: Path
    ip_adapter: Path


def _tokenizer() -> CLIPTokenizer:
    letters = [*string.ascii_lowercase, *string.digits, ",", "-"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def _text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            projection_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            **ids,
        )
    )


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=6,
        out_channels=6,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=6,
        norm_num_groups=4,
        sample_size=IMAGE_SIZE,
        scaling_factor=0.7,
    )


def _image_encoder() -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            image_size=32,
            patch_size=8,
            hidden_size=32,
            intermediate_size=48,
            projection_dim=24,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    )


def build_pipeline() -> StableDiffusionPipeline:
    """Return the pipeline with seeded weights."""
    torch.manual_seed(0)
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction", clip_sample=False)
    tokenizer = _tokenizer()
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(),
        scheduler=DPMSolverMultistepScheduler.from_config(scheduler.config),
        safety_checker=None,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        image_encoder=_image_encoder(),
        requires_safety_checker=False,
    )


def save_generator(folder: Path) -> SavedGenerator:
    """Write the pipeline directory and a random, strong IP-Adapter in diffusers' format."""
    build_pipeline().save_pretrained(folder / "generator")
    torch.manual_seed(1)
    injection = attach(build_pipeline().unet, 24)
    state = {key: value.detach() for key, value in injection.state_dict_diffusers().items()}
    state = {key: 30 * value if "to_v_ip" in key else value for key, value in state.items()}
    save_file(state, folder / "ip_adapter.safetensors")
    return SavedGenerator(folder / "generator", folder / "ip_adapter.safetensors")


def coloured_faces() -> np.ndarray:
    """Return eight distinct coloured pictures, uint8 [8, 32, 32, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))
