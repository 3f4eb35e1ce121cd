"""A generator fine-tuned by LoRA on captioned images: once on patients, once on MeMa for the medical encoder."""

import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from diffusers import DDPMScheduler

from models.diffusion.generator import LoadedGenerator, load_pipeline, prompt_table
from models.diffusion.latents import LatentMoments
from models.diffusion.lora import LoraSettings, add_lora, train_lora
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.diseases import DISEASES, all_prompts, prompt
from models.images import encode_png, tile
from models.training.distributed import group

# Grids show how the training goes; were they drawn as params.yaml samples, a new guidance would train again.
GRID = SamplingSettings(num_inference_steps=12, guidance_scale=3.0, batch_size=len(DISEASES))


def load_networks(folder: Path) -> LoadedGenerator:
    """Return UNet and autoencoder as they were pretrained, frozen, in fp32, on this process's GPU if any."""
    device = group().device
    pipeline = load_pipeline(folder)
    table = prompt_table(pipeline, all_prompts())
    for module in (pipeline.unet, pipeline.vae):
        module.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)
    return LoadedGenerator(
        unet=pipeline.unet,
        vae=pipeline.vae,
        scheduler_config=dict(pipeline.scheduler.config),
        prompts=all_prompts(),
        prompt_table=table.to(device),
    )


def fine_tune(
    generator: LoadedGenerator, moments: LatentMoments, captions: Sequence[str], settings: LoraSettings, scratch: Path
) -> dict:
    """Train a LoRA of the generator's UNet in place and return its metrics.

    `captions` are prompts of `all_prompts`, one an image. Checkpoint and grids go to `scratch`, from where a
    killed run goes on. Raises ValueError where the loss is no number.
    """
    add_lora(generator.unet, settings)
    loss = train_lora(
        generator.unet,
        DDPMScheduler.from_config(generator.scheduler_config),
        moments,
        torch.tensor([generator.prompts.index(caption) for caption in captions]),
        generator.prompt_table,
        settings,
        checkpoint=scratch / "checkpoint.pt",
        grid=partial(draw_grid, generator, scratch / "grids", settings.seed),
    )
    if not math.isfinite(loss):
        raise ValueError(
            f"train_lora.learning_rate: the loss is {loss} at {settings.learning_rate}; lower it, or raise warmup_steps"
        )
    steps = settings.num_steps(len(captions))
    return {
        "photos": len(captions),
        "steps": steps,
        "images_seen": steps * settings.batch_size,
        "loss": round(loss, 4),
        "trainable_parameters": sum(p.numel() for p in generator.unet.parameters() if p.requires_grad),
    }


def draw_grid(generator: LoadedGenerator, folder: Path, seed: int, step: int) -> None:
    """Write one image per disease, nobody injected, from the same noise at every step."""
    rows = [Row(prompt(disease), seed + i) for i, disease in enumerate(DISEASES)]
    images = sample_rows(generator, rows, GRID).numpy()
    _write(folder / f"step-{step:06d}.png", encode_png(tile(images, columns=4)))


def _write(path: Path, data: bytes) -> None:
    """Flush before the rename: a checkpoint that stands promises the grids of its steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
