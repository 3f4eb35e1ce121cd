"""Training of the generator twin on public phantoms: image encoder, then UNet, text and IP-Adapter together."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from models.computing.precision import fast_autocast
from models.diffusion.ip_adapter import Injection
from models.training.augmentation import to_signal
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.generator.codec import eye_weights
from phantom.twins.generator.twin_networks import EMBED_DIM, training_scheduler


def train_image_encoder(
    encoder: CLIPVisionModelWithProjection,
    images: UInt8[Tensor, "n h w 3"],
    traits: Float[Tensor, "n d"],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
) -> nn.Linear:
    """Teach the encoder who a phantom is: regress its standardised identity vector, age and gender from one photo.

    Returns the regression head, which only the evaluation needs.
    """
    head = nn.Linear(EMBED_DIM, traits.shape[1])
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    first = load_checkpoint(checkpoint, optimizer, encoder=encoder, head=head)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="image encoder", mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        index = torch.randint(len(images), (batch_size,), generator=generator)
        with fast_autocast():
            embeds = encoder(pixel_values=to_signal(images[index]).contiguous()).image_embeds
            predicted = head(embeds)
        loss = (predicted.float() - traits[index]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=100)
        optimizer.step()
        bar.set_postfix(mse=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % 200 == 0:
            save_checkpoint(checkpoint, step + 1, optimizer, encoder=encoder, head=head)
    return head


@torch.no_grad()
def embed_images(encoder: CLIPVisionModelWithProjection, images: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n d"]:
    """Return the image embeddings that condition the generator."""
    return torch.cat([encoder(pixel_values=to_signal(x).contiguous()).image_embeds for x in images.split(64)])


@dataclass(frozen=True)
class PretrainingSet:
    """Pairs of photos of the same phantom: `a` is healthy, `b` may wear a sign; row i of each belongs together."""

    latents_a: Float[Tensor, "n c h w"]
    latents_b: Float[Tensor, "n c h w"]
    embeds_a: Float[Tensor, "n d"]
    prompt_a: Int[Tensor, " n"]  # index into the prompt table: 'normal'
    prompt_b: Int[Tensor, " n"]  # index of disease and severity
    caption_b: Int[Tensor, " n"]  # index of the disease alone


@dataclass(frozen=True)
class Batch:
    """One batch of latents with its prompt rows, donor embeddings and injection weights."""

    latents: Float[Tensor, "b c h w"]
    prompts: Int[Tensor, " b"]
    embeds: Float[Tensor, "b d"]
    weights: Float[Tensor, " b"]


def draw_batch(data: PretrainingSet, size: int, generator: torch.Generator) -> Batch:
    """Draw photos and what is told about them.

    A tenth have no prompt. The donor is always the healthy photo, so that the disease comes from the text alone.
    A tenth have the zero embedding (guidance's negative), a tenth no injection at all, half the weight 0.3 that
    sampling uses, the rest a weight from U[0.2, 1].
    """

    def chance() -> Tensor:
        return torch.rand(size, generator=generator)

    row = torch.randint(len(data.latents_a), (size,), generator=generator)
    second, captioned = chance() < 0.7, chance() < 0.3
    latents = torch.where(second[:, None, None, None], data.latents_b[row], data.latents_a[row])
    told = torch.where(captioned, data.caption_b[row], data.prompt_b[row])
    prompts = torch.where(second, told, data.prompt_a[row])
    prompts = torch.where(chance() < 0.1, torch.zeros_like(prompts), prompts)
    weights = torch.where(chance() < 0.6, torch.full((size,), 0.3), 0.2 + 0.8 * chance())
    arm = chance()
    weights = torch.where(arm < 0.1, torch.zeros(size), weights)
    embeds = data.embeds_a[row] * ((arm < 0.1) | (arm >= 0.2))[:, None]
    return Batch(latents, prompts, embeds, weights)


def train_generator(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    injection: Injection,
    prompt_ids: Int[Tensor, "p t"],
    data: PretrainingSet,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    ema_decay: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 100,
    total_steps: int | None = None,
) -> None:
    """Train UNet, text encoder and IP-Adapter together by plain v-MSE; the modules end with their EMA weights.

    `total_steps` is the length of the learning rate's decay where only a first part is trained.
    Plain rather than min-SNR weighting: identity is decided at high noise, which min-SNR hardly weighs.
    """
    modules = nn.ModuleDict({"unet": unet, "text": text_encoder, "injection": injection.float()})
    ema = torch.optim.swa_utils.AveragedModel(
        modules, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema_decay)
    )
    adapter = [p for p in injection.parameters()]
    inside = {id(p) for p in adapter}
    base = [p for p in modules.parameters() if id(p) not in inside]
    optimizer = torch.optim.AdamW(
        [{"params": base, "scale": 1.0}, {"params": adapter, "scale": 2.0}], betas=(0.9, 0.99), weight_decay=1e-3
    )
    first = load_checkpoint(checkpoint, optimizer, modules=modules, ema=ema)
    scheduler, weights = training_scheduler(), eye_weights(data.latents_a.shape[-1], 2.5)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="generator", mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        batch = draw_batch(data, batch_size, generator)
        noise = torch.randn(batch.latents.shape, generator=generator)
        timesteps = torch.randint(1000, (batch_size,), generator=generator)
        noisy_latents = scheduler.add_noise(batch.latents, noise, timesteps)
        target = scheduler.get_velocity(batch.latents, noise, timesteps)
        with fast_autocast():
            prompt_embeds = text_encoder(prompt_ids).last_hidden_state[batch.prompts]
            injection.condition(batch.embeds, batch.weights)
            predicted = unet(
                noisy_latents.contiguous(memory_format=torch.channels_last), timesteps, prompt_embeds
            ).sample
        loss = ((predicted.float() - target).square() * weights).mean() / weights.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate * cosine_rate(step, total_steps or steps, warmup=200)
        optimizer.step()
        ema.update_parameters(modules)
        bar.set_postfix(v_mse=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % checkpoint_every == 0:
            save_checkpoint(checkpoint, step + 1, optimizer, modules=modules, ema=ema)
    injection.clear()
    with torch.no_grad():
        _copy(ema.module.parameters(), modules.parameters())


def _copy(source: Iterable[nn.Parameter], target: Iterable[nn.Parameter]) -> None:
    for a, b in zip(source, target, strict=True):
        b.copy_(a)
