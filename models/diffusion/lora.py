"""Step 1 of the paper: LoRA fine-tuning of the generator on patients' photos, without image condition."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from jaxtyping import Float, Int
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from models.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from models.diffusion.latents import LatentMoments

ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "conv", "time_emb_proj", "proj_in", "proj_out")
TARGETS = {"attention": ATTENTION, "attention+convolutions": (*ATTENTION, *CONVOLUTIONS)}


@dataclass(frozen=True)
class LoraSettings:
    """How the LoRA is trained; `batch_size` is what one step sees, whatever the accumulation."""

    rank: int
    alpha: float
    targets: Literal["attention", "attention+convolutions"]
    learning_rate: float
    betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float
    batch_size: int
    gradient_accumulation: int
    epochs: int
    warmup_steps: int
    ema_decay: float
    caption_dropout: float
    precision: Literal["fp32", "bf16", "fp16"]
    checkpoint_every: int
    grid_every: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"train_lora.gradient_accumulation: {self.gradient_accumulation} does not divide "
                f"train_lora.batch_size {self.batch_size}; choose a divisor"
            )
        if self.precision == "fp16":
            raise ValueError("train_lora.precision: fp16 loses small gradients; allowed: bf16, fp32")

    def num_steps(self, num_photos: int) -> int:
        """Return the whole steps in which photos are seen `epochs` times (paper: 12,288 steps of 32)."""
        return max(1, self.epochs * num_photos // self.batch_size)


class RunningLoss(nn.Module):
    """The loss smoothed over about the last 50 steps; a buffer, so that checkpoints keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros((), dtype=torch.float64))
        self.register_buffer("weight", torch.zeros((), dtype=torch.float64))

    def update(self, loss: float) -> None:
        """Take in the loss of one step."""
        self.total.mul_(0.98).add_(loss)
        self.weight.mul_(0.98).add_(1)

    @property
    def value(self) -> float:
        """The smoothed loss; not a number before the first step."""
        return float(self.total / self.weight)


def add_lora(unet: UNet2DConditionModel, settings: LoraSettings) -> None:
    """Freeze the UNet and add a trainable LoRA, in fp32 and seeded, that changes nothing yet."""
    unet.requires_grad_(False)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        init_lora_weights="gaussian",
        target_modules=list(TARGETS[settings.targets]),
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        unet.add_adapter(config)
    cast_training_params(unet, dtype=torch.float32)


def draw_rows(step: int, num: int, settings: LoraSettings) -> Int[Tensor, " b"]:
    """Return the photos of one step: a window on the epochs' permutations laid end to end."""
    places = torch.arange(step * settings.batch_size, (step + 1) * settings.batch_size)
    epochs = range(int(places[0]) // num, int(places[-1]) // num + 1)
    orders = [torch.randperm(num, generator=step_generator(-1 - settings.seed, epoch)) for epoch in epochs]
    return torch.cat(orders)[places - epochs[0] * num]


def train_target(
    scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timesteps: Int[Tensor, " b"]
) -> Float[Tensor, "b c h w"]:
    """Return what the UNet is to predict: the noise, or the velocity (Salimans & Ho 2022, app. D)."""
    kind = scheduler.config["prediction_type"]
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)  # type: ignore[arg-type]
    raise ValueError(
        f"scheduler.prediction_type: {kind!r}; allowed: epsilon, v_prediction; take another generator"
    )


def train_lora(
    unet: UNet2DConditionModel,
    scheduler: DDPMScheduler,
    moments: LatentMoments,
    captions: Int[Tensor, " n"],
    prompt_table: Float[Tensor, "p t d"],
    settings: LoraSettings,
    *,
    checkpoint: Path,
    grid: Callable[[int], None] | None = None,
) -> float:
    """Train the LoRA of `unet` and return the smoothed loss; goes on from `checkpoint`.

    `captions` are the photos' rows in `prompt_table`, whose row 0 is the empty prompt. Each step draws from a
    generator of its own number, so a run that was killed ends with the same weights. `grid` is called with the
    number of steps done, every `grid_every`.
    """
    lora = nn.ParameterList(p for p in unet.parameters() if p.requires_grad)
    ema = AveragedModel(lora, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    optimizer = torch.optim.AdamW(lora, lr=0.0, betas=settings.betas, weight_decay=settings.weight_decay)
    running = RunningLoss()
    first = load_checkpoint(checkpoint, optimizer, lora=lora, ema=ema, running=running)
    device, steps, parts = unet.device, settings.num_steps(len(moments)), settings.gradient_accumulation
    bar = tqdm(
        total=steps * settings.batch_size,
        initial=first * settings.batch_size,
        desc="lora",
        unit="img",
        mininterval=5,
    )
    for step in range(first, steps):
        generator = step_generator(settings.seed, step)
        rows = draw_rows(step, len(moments), settings)
        latents = moments.draw(rows, generator)
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(scheduler.config["num_train_timesteps"], (len(rows),), generator=generator)
        told = torch.rand(len(rows), generator=generator) >= settings.caption_dropout
        prompt_embeds = prompt_table[captions[rows] * told]
        noisy_latents = scheduler.add_noise(latents, noise, timesteps)  # type: ignore[arg-type]
        target = train_target(scheduler, latents, noise, timesteps)
        optimizer.zero_grad()
        total = 0.0
        batch = (
            noisy_latents.contiguous(memory_format=torch.channels_last),
            timesteps,
            prompt_embeds,
            target,
        )
        for x, t, text, wanted in zip(*(tensor.to(device).chunk(parts) for tensor in batch), strict=True):
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                predicted = unet(x, t, text).sample
            loss = mse_loss(predicted.float(), wanted) / parts
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(lora, settings.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(step, steps, settings.warmup_steps)
        optimizer.step()
        ema.update_parameters(lora)
        running.update(total)
        bar.set_postfix(loss=f"{running.value:.4f}", refresh=False)
        bar.update(len(rows))
        if settings.grid_every and (step + 1) % settings.grid_every == 0 and grid is not None:
            grid(step + 1)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, lora=lora, ema=ema, running=running)
    bar.close()
    with torch.no_grad():
        for parameter, average in zip(lora, ema.module.parameters(), strict=True):
            parameter.copy_(average)
    return running.value


def save_lora(unet: UNet2DConditionModel, folder: Path, settings: LoraSettings) -> None:
    """Write `pytorch_lora_weights.safetensors` as diffusers loads it.

    alpha / rank is folded into the weights: the file needs no metadata, whose order is not repeatable. The keys
    stay PEFT's: `convert_state_dict_to_diffusers` renames attention keys only, and `load_lora_weights` then silently
    drops them where convolutions stand beside them.
    """
    scale = settings.alpha / settings.rank
    layers = {key: value.detach().cpu() for key, value in get_peft_model_state_dict(unet).items()}
    layers = {key: value * scale if ".lora_B." in key else value for key, value in layers.items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
