"""Stable Diffusion v1-5's networks with random weights, whole or narrower: weights do not change the speed."""

from dataclasses import dataclass

import torch
import typer
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.diffusion.generator import LoadedGenerator, prompt_table
from models.diffusion.ip_adapter import Injection, attach
from models.diseases import all_prompts
from phantom.twins.generator.twin_networks import build_tokenizer

EMBED_DIM = 1024  # of CLIP-H's image embedding, which IP-Adapter for SD1.5 reads
HEAD_DIM = 40  # of v1-5's first level; narrower heads are pathologically slow in attention
NUM_TOKENS = 77
WIDTHS = (0.125, 0.25, 0.5, 1.0)
SIZE_STEP_PX = 64  # the UNet halves latents, an eighth of the image, three times


def check_size(width: float, size_px: int) -> None:
    """Refuse what the networks cannot be built of."""
    if width not in WIDTHS:
        raise typer.BadParameter(f"--width: {width:g}; allowed: {', '.join(f'{w:g}' for w in WIDTHS)}")
    if size_px < SIZE_STEP_PX or size_px % SIZE_STEP_PX:
        raise typer.BadParameter(f"--size-px: {size_px}; allowed: multiples of {SIZE_STEP_PX}")


@dataclass(frozen=True)
class StableDiffusion:
    """The networks of one size on one device."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    scheduler: DDPMScheduler
    pipeline: StableDiffusionPipeline

    def copy_of_unet(self) -> UNet2DConditionModel:
        """Return another UNet of the same weights."""
        unet = UNet2DConditionModel.from_config(self.unet.config)
        unet.load_state_dict(self.unet.state_dict())
        return unet.to(self.unet.device, self.unet.dtype).requires_grad_(False).eval()


def build(width: float, image_size_px: int, dtype: torch.dtype = torch.float32) -> StableDiffusion:
    """Return networks whose channels are `width` of v1-5's (1: all of them), on a GPU if there is one."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = NUM_TOKENS
    text_encoder = _text_encoder(round(768 * width), len(tokenizer))
    levels = [round(channels * width) for channels in (320, 640, 1280, 1280)]
    unet = UNet2DConditionModel(
        sample_size=image_size_px // 8, block_out_channels=levels, cross_attention_dim=round(768 * width),
        # diffusers' name for the number of heads: v1-5 has 8 everywhere
        attention_head_dim=max(1, levels[0] // HEAD_DIM), norm_num_groups=min(32, levels[0] // 5),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=[round(channels * width) for channels in (128, 256, 512, 512)],
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4, layers_per_block=2, norm_num_groups=min(32, round(32 * width)),
        sample_size=image_size_px,
    )  # fmt: skip
    scheduler = DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, steps_offset=1,
    )  # fmt: skip
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False).eval().to(device, dtype)
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet,
        scheduler=DPMSolverMultistepScheduler.from_config(scheduler.config), safety_checker=None,
        feature_extractor=None, image_encoder=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return StableDiffusion(unet, vae, text_encoder, scheduler, pipeline)


def _text_encoder(width: int, vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, projection_dim=width,
            num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=NUM_TOKENS,
            bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip


def adapter(unet: UNet2DConditionModel) -> tuple[Injection, dict[str, dict[str, torch.Tensor]]]:
    """Attach a random IP-Adapter to `unet`; return it, and the same as `load_ip_adapter` of diffusers takes it."""
    torch.manual_seed(1)
    injection = attach(unet, EMBED_DIM).requires_grad_(False).to(unet.device, unet.dtype)
    flat = injection.state_dict_diffusers()
    nested: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in flat.items():
        part, name = key.split(".", 1)
        nested[part][name] = value
    return injection, nested


def generator_of(networks: StableDiffusion, unet: UNet2DConditionModel, injection: Injection) -> LoadedGenerator:
    """Return what `load_generator` returns, of these networks."""
    unet.to(memory_format=torch.channels_last)
    small = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8, patch_size=8,
        projection_dim=EMBED_DIM,
    )  # fmt: skip
    table = prompt_table(networks.pipeline, all_prompts()).to(unet.device, unet.dtype)
    return LoadedGenerator(
        unet, networks.vae, dict(networks.pipeline.scheduler.config), all_prompts(), table, injection,
        CLIPVisionModelWithProjection(small),
    )  # fmt: skip
