"""Adversarial training of MedSem-DeID (paper, "Learning Objectives"), resumable to the same weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from models.checkpoint import load_checkpoint, save_checkpoint, step_generator
from models.deid import losses
from models.deid.discriminator import PatchDiscriminator, augmented, slope_penalty
from models.deid.eigenfaces import eigenfaces, medical_relevance
from models.deid.features import Batch, OriginalFeatures
from models.deid.medical_encoder import MedicalEncoder
from models.deid.networks import MedSemDeID, decode

SLOPE_EVERY = 8  # steps; the penalty counts as often (Karras et al. 2020)
LOSSES = ("deid", "rev_id", "wrong", "med", "rev", "gan", "discriminator")


@dataclass(frozen=True)
class DeidSettings:
    """How MedSem-DeID is trained; the paper's values stand in profiles/paper.yaml."""

    steps: int
    batch_size: int
    learning_rate: float
    halve_at: tuple[int, ...]
    betas: tuple[float, float]
    max_grad_norm: float
    ema_decay: float
    lambda_med: float
    lambda_rev: float
    lambda_gan: float
    cosine_floor: float
    phi_jitter: float
    discriminator_width: int
    discriminator_rate: float
    slope_weight: float
    precision: Literal["fp32", "bf16"]
    checkpoint_every: int
    grid_every: int
    seed: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: halved at each of `halve_at`."""
        return self.learning_rate * 0.5 ** sum(step >= place for place in self.halve_at)


@dataclass(frozen=True)
class Judges:
    """The frozen networks whose opinions are losses: autoencoder, Enc_med, phi."""

    vae: AutoencoderKL
    medical: MedicalEncoder
    phi: nn.Module


@dataclass(frozen=True)
class MedicalScale:
    """What L_med measures by: deviations [1, m, 1, 1] and relevance [1, 1, h16, w16] of f_med over MeMa."""

    std: Float[Tensor, "1 m 1 1"]
    relevance: Float[Tensor, "1 1 h16 w16"]

    def to(self, device: torch.device) -> "MedicalScale":
        """Return the same on a device."""
        return MedicalScale(self.std.to(device), self.relevance.to(device))


def make_fakes(
    model: MedSemDeID,
    vae: AutoencoderKL,
    batch: Batch,
    right: Float[Tensor, "b d"],
    wrong: Float[Tensor, "b d"],
) -> Float[Tensor, "3b 3 h w"]:
    """Return X_enc, X_hat and X_wrong of each original, one above the other, decoded in one batch."""
    f_enc = model.encrypt(model.features(batch.latents, batch.f_med), right)
    both = model.decrypt(torch.cat([f_enc, f_enc]), torch.cat([right, wrong]))
    return decode(vae, model.latents(torch.cat([f_enc, both])))


def generator_losses(
    fakes: Float[Tensor, "3b 3 h w"],
    batch: Batch,
    judges: Judges,
    discriminator: PatchDiscriminator,
    scale: MedicalScale,
    settings: DeidSettings,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, ""]]:
    """Return the six losses, unweighted; phi sees the three images as one batch."""
    enc, hat, _ = fakes.chunk(3)
    phi_enc, phi_hat, phi_wrong = judges.phi(jittered(fakes, settings.phi_jitter, generator)).chunk(3)
    found = {
        "deid": losses.l_deid(batch.phi, phi_enc, settings.cosine_floor),
        "rev_id": losses.l_rev_id(batch.phi, phi_hat),
        "wrong": losses.l_wrong(batch.phi, phi_wrong, settings.cosine_floor),
        "rev": losses.l_rev(batch.x, hat),
        "gan": losses.l_gan(discriminator(augmented(fakes, generator))),
    }
    if settings.lambda_med:
        found["med"] = losses.l_med(batch.f_med, judges.medical(enc), scale.std, scale.relevance)
    return found


def jittered(images: Float[Tensor, "b 3 h w"], strength: float, generator: torch.Generator) -> Tensor:
    """Return images moved, tinted in patches, softened and made noisy at random, differentiably.

    What phi says is the mean over such changes: tints and patterns of pixels, with which a generator fools one
    network and no other, lose their use, and the face itself has to change.
    """
    if not strength:
        return images
    num, device = len(images), images.device

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator).to(device) - 1

    moved = torch.zeros(num, 2, 3, device=device)
    moved[:, 0, 0] = moved[:, 1, 1] = 1
    moved[:, :, 2] = 0.2 * strength * uniform(num, 2)
    grid = nn.functional.affine_grid(moved, list(images.shape), align_corners=False)
    images = nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    cells = int(torch.randint(2, 13, (), generator=generator))
    tint = nn.functional.interpolate(uniform(num, 3, cells, cells), images.shape[-2:], mode="bicubic")
    images = images * (1 + strength * uniform(num, 1, 1, 1)) + strength * tint
    soft = nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    images = images.lerp(soft, torch.rand(num, 1, 1, 1, generator=generator).to(device))
    return images + 0.2 * strength * torch.randn(images.shape, generator=generator).to(device)


def train_deid(
    model: MedSemDeID,
    judges: Judges,
    features: OriginalFeatures,
    settings: DeidSettings,
    *,
    checkpoint: Path,
    report: Callable[[int, dict[str, float]], None] | None = None,
    grid: Callable[[int, MedSemDeID], None] | None = None,
) -> dict[str, float]:
    """Train `model` in place, leave the average of its weights in it, return the smoothed losses.

    Goes on from `checkpoint`; every step draws from a generator of its own number, so a run that was killed
    ends with the same weights. `report` and `grid` are called every `grid_every` steps.
    """
    device = next(judges.vae.parameters()).device
    scale = prepare(model, features).to(device)
    model.to(device).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        discriminator = PatchDiscriminator(settings.discriminator_width).to(device)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    ours = torch.optim.Adam(model.parameters(), lr=0.0, betas=settings.betas)
    theirs = torch.optim.Adam(discriminator.parameters(), lr=0.0, betas=settings.betas)
    running = RunningLosses().to(device)
    kept = {"model": model, "discriminator": discriminator, "ema": ema, "theirs": theirs, "running": running}
    first = load_checkpoint(checkpoint, ours, **kept)
    weights = {"med": settings.lambda_med, "rev": settings.lambda_rev, "gan": settings.lambda_gan}
    bar = tqdm(range(first, settings.steps), initial=first, total=settings.steps, desc="deid", mininterval=5)
    for step in bar:
        generator = step_generator(settings.seed, step)
        rows = torch.randint(len(features), (settings.batch_size,), generator=generator)
        batch = features.batch(rows, device)
        right, wrong = torch.randn(2, len(rows), model.config.password_dim, generator=generator).to(device)
        for optimizer, factor in ((ours, 1.0), (theirs, settings.discriminator_rate)):
            for group in optimizer.param_groups:
                group["lr"] = factor * settings.rate(step)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            fakes = make_fakes(model, judges.vae, batch, right, wrong)
            real = discriminator(augmented(batch.x, generator))
            told = losses.discriminator_loss(real, discriminator(augmented(fakes.detach(), generator)))
        if step % SLOPE_EVERY == 0:
            told = told + settings.slope_weight * SLOPE_EVERY * slope_penalty(discriminator, batch.x)
        _descend(theirs, discriminator, told, settings.max_grad_norm)
        discriminator.requires_grad_(False)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            found = generator_losses(fakes, batch, judges, discriminator, scale, settings, generator)
        _descend(ours, model, sum_weighted(found, weights), settings.max_grad_norm)
        discriminator.requires_grad_(True)
        ema.update_parameters(model)
        running.update(found | {"discriminator": told})
        bar.set_postfix({name: f"{value:.2f}" for name, value in running.values().items()}, refresh=False)
        if settings.grid_every and (step + 1) % settings.grid_every == 0:
            if report is not None:
                report(step + 1, running.values())
            if grid is not None:
                grid(step + 1, ema.module)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            save_checkpoint(checkpoint, step + 1, ours, **kept)
    model.load_state_dict(ema.module.state_dict())
    model.eval()
    return running.values()


def prepare(model: MedSemDeID, features: OriginalFeatures) -> MedicalScale:
    """Set what is computed rather than trained, and return what L_med measures by.

    Where the model uses f_med, the keyed layer spares the places in which f_med tells the diseases apart.
    """
    mean, std = features.med_moments()
    relevance = medical_relevance(features.f_med, features.diseases)
    model.scale_f_med(mean, std)
    if model.config.num_eigenfaces:
        tells = model.config.med_channels and len(set(features.diseases.tolist())) > 1
        spared = relevance if tells else None
        model.key_with(*eigenfaces(features.latents, spared, model.config.num_eigenfaces))
    return MedicalScale(std, relevance)


def sum_weighted(found: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Return L of the paper; losses without a weight of their own count once."""
    return torch.stack([weights.get(name, 1.0) * value for name, value in found.items()]).sum()


def _descend(optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor, max_norm: float) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), max_norm)
    optimizer.step()


class RunningLosses(nn.Module):
    """Losses smoothed over about the last 50 steps; buffers, so that checkpoints keep them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("totals", torch.zeros(len(LOSSES), dtype=torch.float64))
        self.register_buffer("asked", torch.zeros(len(LOSSES), dtype=torch.bool))
        self.register_buffer("weight", torch.zeros((), dtype=torch.float64))

    def update(self, found: dict[str, Tensor]) -> None:
        """Take in the losses of one step."""
        values = [float(found[name].detach()) if name in found else 0.0 for name in LOSSES]
        self.asked |= torch.tensor([name in found for name in LOSSES], device=self.asked.device)
        self.totals.mul_(0.98).add_(torch.tensor(values, dtype=torch.float64, device=self.totals.device))
        self.weight.mul_(0.98).add_(1)

    def values(self) -> dict[str, float]:
        """Return the smoothed losses by name, without those that are not asked for."""
        means = (self.totals / self.weight).tolist()
        asked = self.asked.tolist()
        return {name: value for name, value, told in zip(LOSSES, means, asked, strict=True) if told}
