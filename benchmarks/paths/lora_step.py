"""A step of LoRA fine-tuning, beside the public script's and beside one with cached latents.

The first peer is the step of diffusers' train_text_to_image_lora.py, rebuilt from its calls: image and text are
encoded at every step. Its images lie in memory as tensors here, while the script decodes and crops them; that is left
out in its favour. The second caches the mean of each posterior and the prompt's embeddings, as OneTrainer does; it
draws no latents anew. All three see the same photos, noise and timesteps; the losses of several steps are compared,
and what the LoRAs have become by then.
The limit is the step's multiplications as one large matrix product after another.
"""

import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks import harness
from benchmarks.harness import Case
from benchmarks.paths.stable_diffusion import StableDiffusion, build, check_size
from models.diffusion.generator import prompt_table
from models.diffusion.latents import LatentMoments, cache_moments, factors, to_unet
from models.diffusion.lora import LoraSettings, Training, add_lora, draw_batch, draw_rows, train_step
from models.diseases import DISEASES, all_prompts, prompt
from models.training.augmentation import to_signal
from models.training.checkpoint import step_generator

NUM_PHOTOS = 32
CHECKED_STEPS = 3
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}  # of losses; moments are cached in half precision
# Adam makes a whole step of the smallest gradient, whose sign rounding may turn.
WEIGHTS_TOLERANCE = {"fp32": 1e-2, "bf16": 0.3}


@dataclass(frozen=True)
class Step:
    """What does a step of a number and returns its loss, and the LoRA that it trains."""

    run: Callable[[int], float]
    lora: list[Tensor]

    def changed(self) -> Tensor:
        """Return the second factors of the LoRA, which start at 0, in one row."""
        return torch.cat([part.detach().flatten() for part in self.lora[1::2]])


def settings_of(batch_size: int, rank: int, precision: str) -> LoraSettings:
    """Return the paper's settings at another rank and batch size."""
    return LoraSettings(
        rank=rank, alpha=rank, targets="attention+convolutions", learning_rate=1e-4, betas=(0.9, 0.99),
        weight_decay=0.0, max_grad_norm=1.0, batch_size=batch_size, epochs=1, warmup_steps=0, ema_decay=0.999,
        caption_dropout=0.1, precision=precision, checkpoint_every=1, grid_every=0, seed=0,
    )  # fmt: skip


def our_step(networks: StableDiffusion, moments: LatentMoments, captions: Tensor, settings: LoraSettings) -> Step:
    """Return the step of train_lora: latents drawn from cached moments, captions from a table."""
    unet = networks.copy_of_unet()
    add_lora(unet, settings)
    unet.to(memory_format=torch.channels_last)
    training = Training.of(unet, settings)
    table = prompt_table(networks.pipeline, all_prompts())

    def step(number: int) -> float:
        batch = draw_batch(number, networks.scheduler, moments, captions, table, settings)
        return train_step(training, batch, settings.learning_rate, settings)

    return Step(step, list(training.lora))


def peer_step(
    networks: StableDiffusion,
    latents_of: Callable[[Tensor, Tensor], Tensor],
    embeds_of: Callable[[Tensor], Tensor],
    captions: Tensor,
    settings: LoraSettings,
) -> Step:
    """Return the loop body of the public script, with what it trains on by `latents_of` and `embeds_of`.

    `latents_of` gets the photos' rows and the noise of their posteriors, `embeds_of` the rows of the prompts.
    """
    unet, device = networks.copy_of_unet(), networks.unet.device
    if settings.precision == "bf16":
        unet.to(torch.bfloat16)  # as the script does with what it freezes
    add_lora(unet, settings)
    layers = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(layers, lr=settings.learning_rate, betas=settings.betas, weight_decay=0.0)
    size = unet.config["sample_size"]

    def step(number: int) -> float:
        generator = step_generator(settings.seed, number)
        rows = draw_rows(number, len(captions), settings)
        shape = (len(rows), unet.config["in_channels"], size, size)
        posterior, noise = (torch.randn(shape, generator=generator) for _ in range(2))
        timesteps = torch.randint(1000, (len(rows),), generator=generator)
        told = torch.rand(len(rows), generator=generator) >= settings.caption_dropout
        noise, timesteps = noise.to(device), timesteps.to(device)
        latents, embeds = latents_of(rows, posterior), embeds_of(captions[rows] * told)
        noisy = networks.scheduler.add_noise(latents, noise, timesteps)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            predicted = unet(noisy, timesteps, embeds, return_dict=False)[0]
        loss = mse_loss(predicted.float(), noise.float())
        loss.backward()
        nn.utils.clip_grad_norm_(layers, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return Step(step, layers)


def counting(step: Step, first: int) -> Callable[[], float]:
    """Return calls of the step with growing numbers."""
    numbers = iter(range(first, 10**9))
    return lambda: step.run(next(numbers))


def captions_of(num: int) -> Tensor:
    """Return the rows of the photos' prompts in the table, the diseases in turn."""
    return torch.tensor([all_prompts().index(prompt(DISEASES[i % len(DISEASES)])) for i in range(num)])


def encoders(
    networks: StableDiffusion, photos: np.ndarray, dtype: torch.dtype
) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return what encodes photos and prompts by their rows, as the script does: it casts what it freezes."""
    device, scaling = networks.unet.device, factors(networks.vae)
    vae, text_encoder = (deepcopy(part).to(dtype) for part in (networks.vae, networks.text_encoder))
    pixels, prompts = to_signal(torch.from_numpy(photos)), list(all_prompts())
    ids = networks.pipeline.tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids

    @torch.no_grad()
    def encode_image(rows: Tensor, posterior: Tensor) -> Tensor:
        found = vae.encode(pixels[rows].to(device, dtype)).latent_dist
        return to_unet(found.mean + found.std * posterior.to(device, dtype), *scaling)

    @torch.no_grad()
    def encode_text(rows: Tensor) -> Tensor:
        return text_encoder(ids[rows].to(device), return_dict=False)[0]

    return encode_image, encode_text


def case(folder: Path, width: float, size_px: int, batch_size: int, precision: str) -> Case:
    """Return the step on `batch_size` photos; noise stands for them, since their look costs nothing."""
    networks = build(width, size_px)
    settings = settings_of(batch_size, max(4, round(64 * width)), precision)
    photos = np.random.default_rng(0).integers(0, 256, (NUM_PHOTOS, size_px, size_px, 3), np.uint8)
    captions = captions_of(NUM_PHOTOS)
    moments = cache_moments(networks.vae, list(photos), NUM_PHOTOS, folder)
    scaling = moments.scaling_factor, moments.shift_factor
    device = networks.unet.device
    table = prompt_table(networks.pipeline, all_prompts())
    means = torch.from_numpy(np.array(moments.mean))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def cached_mean(rows: Tensor, _: Tensor) -> Tensor:
        return to_unet(means[rows].float().to(device), *scaling)

    def cached_embeds(rows: Tensor) -> Tensor:
        return table[rows.to(device)]

    steps = {
        "ours": our_step(networks, moments, captions, settings),
        "diffusers' script": peer_step(networks, *encoders(networks, photos, dtype), captions, settings),
        "cached latents": peer_step(networks, cached_mean, cached_embeds, captions, settings),
    }

    def check() -> str:
        frozen = our_step(
            networks, LatentMoments(moments.mean, np.zeros_like(moments.std), *scaling), captions, settings
        )
        pairs = (steps["ours"], steps["diffusers' script"]), (frozen, steps["cached latents"])
        losses, weights = (max(parts) for parts in zip(*(_apart(*pair) for pair in pairs), strict=True))
        assert losses < TOLERANCE[precision], f"losses are {losses:.1e} apart"
        assert weights < WEIGHTS_TOLERANCE[precision], f"LoRAs are {weights:.1e} apart"
        return f"losses of {CHECKED_STEPS} steps within {losses:.1e}, LoRAs within {weights:.1e}"

    flop = harness.flop_of(lambda: our_step(networks, moments, captions, settings).run(0))
    product, share = harness.products(flop, dtype, device)
    target = 2.0 if device.type == "cuda" else 1.35
    return Case(
        "lora_step", f"{width:g} of SD1.5's width, {size_px} px, batch {batch_size}, {precision}",
        ours=counting(steps["ours"], CHECKED_STEPS),
        peers={name: counting(step, CHECKED_STEPS) for name, step in steps.items() if name != "ours"},
        check=check, limit=product, limit_name=f"{flop / 1e12:.3g} TFLOP of products",
        targets={"diffusers' script": target, "cached latents": 1.0}
        | ({"limit": 0.4} if device.type == "cuda" else {}),
        scale={"limit": share},
    )  # fmt: skip


def _apart(a: Step, b: Step) -> tuple[float, float]:
    """Return the largest relative difference of the losses of the first steps, and that of the LoRAs after them."""
    pairs = [(a.run(number), b.run(number)) for number in range(CHECKED_STEPS)]
    weights = (a.changed() - b.changed()).norm() / b.changed().norm()
    return max(abs(x - y) / y for x, y in pairs), float(weights)


def main(
    width: Annotated[float, typer.Option(help="of the channels of v1-5")] = 0.25,
    size_px: Annotated[int, typer.Option(help="a multiple of 64")] = 256,
    batch_size: Annotated[int, typer.Option(min=1)] = 2,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="of the computation")] = "fp32",
    rounds: harness.Rounds = 9,
    out: harness.Out = None,
) -> None:
    """Assert equal losses, then let the steps take turns."""
    check_size(width, size_px)
    with tempfile.TemporaryDirectory() as folder:
        harness.report(case(Path(folder), width, size_px, batch_size, precision), rounds, out)


if __name__ == "__main__":
    typer.run(main)
