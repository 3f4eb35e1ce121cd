"""Step 1 of the paper: LoRA fine-tuning of the generator on patients' photos, without image condition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from jaxtyping import Float, Int
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from models.diffusion.latents import LatentMoments
from models.diffusion.settings import LoraSettings
from models.training.checkpoint import RunningLosses, cosine_rate, load_checkpoint, save_checkpoint, step_generator
from models.training.distributed import Group, group

ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "conv", "time_emb_proj", "proj_in", "proj_out")
TARGETS = {"attention": ATTENTION, "attention+convolutions": (*ATTENTION, *CONVOLUTIONS)}


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
    raise ValueError(f"scheduler.prediction_type: {kind!r}; allowed: epsilon, v_prediction; take another generator")


@dataclass(frozen=True)
class NoisyBatch:
    """What the UNet is shown in one step, and what it is to predict."""

    noisy_latents: Float[Tensor, "b c h w"]
    timesteps: Int[Tensor, " b"]
    prompt_embeds: Float[Tensor, "b t d"]
    target: Float[Tensor, "b c h w"]

    def take(self, rows: slice, device: torch.device) -> "NoisyBatch":
        """Return some rows on a device."""
        return NoisyBatch(*(getattr(self, field.name)[rows].to(device) for field in fields(self)))


def draw_batch(
    step: int,
    scheduler: DDPMScheduler,
    moments: LatentMoments,
    captions: Int[Tensor, " n"],
    prompt_table: Float[Tensor, "p t d"],
    settings: LoraSettings,
) -> NoisyBatch:
    """Draw the whole batch of a step from the step's own generator, whoever computes which rows of it."""
    generator = step_generator(settings.seed, step)
    rows = draw_rows(step, len(moments), settings)
    latents = moments.draw(rows, generator)
    noise = torch.randn(latents.shape, generator=generator)
    timesteps = torch.randint(scheduler.config["num_train_timesteps"], (len(rows),), generator=generator)
    told = torch.rand(len(rows), generator=generator) >= settings.caption_dropout
    noisy_latents = scheduler.add_noise(latents, noise, timesteps)  # type: ignore[arg-type]
    return NoisyBatch(
        noisy_latents.contiguous(memory_format=torch.channels_last),
        timesteps,
        prompt_table[captions[rows] * told],
        train_target(scheduler, latents, noise, timesteps),
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
    number of steps done, every `grid_every`. The processes of a group share each batch; one of them writes.
    """
    training, running, together = Training.of(unet, settings), RunningLosses("loss"), group()
    state = {"lora": training.lora, "ema": training.ema, "running": running}
    first = load_checkpoint(checkpoint, training.optimizer, **state)
    steps = settings.num_steps(len(moments))
    bar = _progress(first, steps, settings.batch_size, together)
    for step in range(first, steps):
        batch = draw_batch(step, scheduler, moments, captions, prompt_table, settings)
        rate = settings.learning_rate * cosine_rate(step, steps, settings.warmup_steps)
        running.update({"loss": train_step(training, batch, rate, settings)})
        bar.set_postfix(loss=f"{running.values()['loss']:.4f}", refresh=False)
        bar.update(settings.batch_size)
        if not together.is_main:
            continue
        if settings.grid_every and (step + 1) % settings.grid_every == 0 and grid is not None:
            grid(step + 1)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, training.optimizer, **state)
    bar.close()
    with torch.no_grad():
        for parameter, average in zip(training.lora, training.ema.module.parameters(), strict=True):
            parameter.copy_(average)
    return running.values()["loss"]


@dataclass(frozen=True)
class Training:
    """What a step changes: the LoRA of a UNet, its moving average, and the optimizer's moments."""

    unet: UNet2DConditionModel
    lora: nn.ParameterList
    ema: AveragedModel
    optimizer: torch.optim.AdamW

    @classmethod
    def of(cls, unet: UNet2DConditionModel, settings: LoraSettings) -> "Training":
        """Return the training of what `add_lora` added to `unet`, before its first step."""
        lora = nn.ParameterList(p for p in unet.parameters() if p.requires_grad)
        ema = AveragedModel(lora, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
        optimizer = torch.optim.AdamW(
            lora, lr=0.0, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
        )
        return cls(unet, lora, ema, optimizer)


def train_step(training: Training, batch: NoisyBatch, learning_rate: float, settings: LoraSettings) -> float:
    """Predict, compare, go back, clip, step, average; return the batch's loss.

    The processes of a group compute a part of the batch each.
    """
    together, device = group(), training.unet.device
    parts = together.parts(settings.batch_size, "train_lora.batch_size")
    training.optimizer.zero_grad()
    loss = _backward(training.unet, [batch.take(part, device) for part in parts], settings)
    together.sum_gradients(training.lora)
    nn.utils.clip_grad_norm_(training.lora, settings.max_grad_norm)
    for parameters in training.optimizer.param_groups:
        parameters["lr"] = learning_rate
    training.optimizer.step()
    training.ema.update_parameters(training.lora)
    return together.sum_losses({"loss": loss})["loss"]


def _backward(unet: UNet2DConditionModel, parts: Sequence[NoisyBatch], settings: LoraSettings) -> float:
    """Add these rows' gradients and return their share of the batch's loss."""
    total = 0.0
    for part in parts:
        with torch.autocast(unet.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            predicted = unet(part.noisy_latents, part.timesteps, part.prompt_embeds).sample
        share = len(part.timesteps) / settings.batch_size
        loss = mse_loss(predicted.float(), part.target) * share
        loss.backward()
        total += loss.item()
    return total


def _progress(first: int, steps: int, batch_size: int, together: Group) -> tqdm:
    """A bar that counts images, shown by one process."""
    return tqdm(
        total=steps * batch_size,
        initial=first * batch_size,
        desc="lora",
        unit="img",
        mininterval=5,
        disable=not together.is_main,
    )


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
