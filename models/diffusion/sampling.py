"""Step 2 of the paper: images from rows of (prompt, donor, injection weight, seed), each as if it were alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from jaxtyping import Float, UInt8
from torch import Tensor

from models.diffusion.generator import LoadedGenerator
from models.diffusion.latents import factors, from_unet


@dataclass(frozen=True)
class Row:
    """One image to make; without a donor (`embedding` None) the weight must be 0."""

    prompt: str
    seed: int
    embedding: Float[Tensor, " d"] | None = None
    injection_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.embedding is None and self.injection_weight:
            raise ValueError(f"injection_weight: {self.injection_weight} without a donor; allowed: 0")


@dataclass(frozen=True)
class SamplingSettings:
    """DPM-Solver++ steps, classifier-free guidance, and the one batch shape that every row is computed in."""

    num_inference_steps: int
    guidance_scale: float
    batch_size: int


def initial_latents(rows: Sequence[Row], shape: tuple[int, int, int]) -> Float[Tensor, "b c h w"]:
    """Return each row's start noise, from a CPU generator of its own seed."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(row.seed)) for row in rows])


@torch.no_grad()
def denoise(
    unet: UNet2DConditionModel,
    scheduler_config: dict[str, Any],
    latents: Float[Tensor, "b c h w"],
    prompt_embeds: Float[Tensor, "b t d"],
    negative_embeds: Float[Tensor, "b t d"],
    settings: SamplingSettings,
) -> Float[Tensor, "b c h w"]:
    """Return denoised latents by DPM-Solver++ with classifier-free guidance (negative half first)."""
    scheduler = DPMSolverMultistepScheduler.from_config(scheduler_config)
    scheduler.set_timesteps(settings.num_inference_steps, device=latents.device)
    guided = settings.guidance_scale > 1
    text = torch.cat([negative_embeds, prompt_embeds]) if guided else prompt_embeds
    for timestep in scheduler.timesteps:
        both = torch.cat([latents, latents]) if guided else latents
        both = both.to(unet.dtype, memory_format=torch.channels_last)
        predicted = unet(both, timestep, text).sample.float()
        if guided:
            negative, positive = predicted.chunk(2)
            predicted = negative + settings.guidance_scale * (positive - negative)
        latents = scheduler.step(predicted, timestep, latents).prev_sample  # type: ignore[union-attr]
    return latents


@torch.no_grad()
def sample_latents(
    generator: LoadedGenerator, rows: Sequence[Row], settings: SamplingSettings
) -> Float[Tensor, "b c h w"]:
    """Return the rows' latents, in one batch of exactly these rows."""
    unknown = {row.prompt for row in rows} - set(generator.prompts)
    if unknown:
        raise ValueError(f"prompt: {min(unknown)!r} is not in the prompt table; see models.diseases.all_prompts")
    prompt_embeds = generator.prompt_table[[generator.prompts.index(row.prompt) for row in rows]]
    negative_embeds = generator.prompt_table[generator.prompts.index("")].expand_as(prompt_embeds)
    if generator.injection is not None:
        _condition(generator, rows, guided=settings.guidance_scale > 1)
    elif any(row.embedding is not None for row in rows):
        raise ValueError("rows: a donor, but no IP-Adapter; set generator.ip_adapter")
    latents = initial_latents(rows, generator.latent_shape).to(generator.unet.device)
    try:
        return denoise(generator.unet, generator.scheduler_config, latents, prompt_embeds, negative_embeds, settings)
    finally:
        if generator.injection is not None:
            generator.injection.clear()


def _condition(generator: LoadedGenerator, rows: Sequence[Row], guided: bool) -> None:
    """Set each row's donor and weight; the negative half gets the zero embedding at the same weight, as in stock."""
    assert generator.injection is not None
    assert generator.image_encoder is not None
    nobody = torch.zeros(generator.image_encoder.config.projection_dim)
    embeds = torch.stack([nobody if row.embedding is None else row.embedding for row in rows])
    weights = torch.tensor([row.injection_weight for row in rows])
    if guided:
        embeds, weights = torch.cat([torch.zeros_like(embeds), embeds]), torch.cat([weights, weights])
    generator.injection.condition(
        embeds.to(generator.unet.device, generator.unet.dtype), weights.to(generator.unet.device)
    )


@torch.no_grad()
def decode_latents(generator: LoadedGenerator, latents: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b h w 3"]:
    """Return the pictures of latents."""
    vae = generator.vae
    scaled = from_unet(latents, *factors(vae)).to(vae.dtype, memory_format=torch.channels_last)
    signal = vae.decode(scaled).sample.float()
    return ((signal / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous()


def sample_rows(
    generator: LoadedGenerator, rows: Sequence[Row], settings: SamplingSettings
) -> UInt8[Tensor, "b h w 3"]:
    """Return the rows' images; fewer than `batch_size` rows are padded to it.

    Every image is computed in the same batch shape, so equal rows have equal pixels, whatever their neighbours.
    """
    if not 0 < len(rows) <= settings.batch_size:
        raise ValueError(f"rows: {len(rows)} in a batch; allowed: 1 to batch_size {settings.batch_size}")
    padded = [*rows, *[rows[-1]] * (settings.batch_size - len(rows))]
    return decode_latents(generator, sample_latents(generator, padded, settings))[: len(rows)]
