"""Adversarial training of MedSem-DeID (paper, "Learning Objectives"), resumable to the same weights."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from models.deid import losses
from models.deid.chance import Chance, draw_chance
from models.deid.discriminator import PatchDiscriminator, slope_penalty
from models.deid.encoders.medical_encoder import MedicalEncoder
from models.deid.encoders.medical_scale import MedicalScale, prepare
from models.deid.features import Batch, OriginalFeatures
from models.deid.networks import MedSemDeID, decode
from models.deid.settings import DeidSettings
from models.training.checkpoint import RunningLosses, load_checkpoint, save_checkpoint, step_generator
from models.training.distributed import Group, group

SLOPE_EVERY = 8  # steps; the penalty counts as often (Karras et al. 2020)
LOSSES = ("deid", "rev_id", "wrong", "med", "rev", "gan", "discriminator")


@dataclass(frozen=True)
class Judges:
    """The frozen networks whose opinions are losses: autoencoder, Enc_med, phi."""

    vae: AutoencoderKL
    medical: MedicalEncoder
    phi: nn.Module


def make_fakes(
    model: MedSemDeID, vae: AutoencoderKL, batch: Batch, right: Float[Tensor, "b d"], wrong: Float[Tensor, "b d"]
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
    chance: Chance,
) -> dict[str, Float[Tensor, ""]]:
    """Return the six losses, unweighted; phi sees the three images as one batch."""
    enc, hat, _ = fakes.chunk(3)
    shown = fakes if chance.phi_sees is None else chance.phi_sees(fakes)
    phi_enc, phi_hat, phi_wrong = judges.phi(shown).chunk(3)
    found = {
        "deid": losses.l_deid(batch.phi, phi_enc, settings.cosine_floor),
        "rev_id": losses.l_rev_id(batch.phi, phi_hat),
        "wrong": losses.l_wrong(batch.phi, phi_wrong, settings.cosine_floor),
        "rev": losses.l_rev(batch.x, hat),
        "gan": losses.l_gan(discriminator(chance.judged(fakes))),
    }
    if settings.lambda_med:
        found["med"] = losses.l_med(batch.f_med, judges.medical(enc), scale.std, scale.relevance)
    return found


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
    ends with the same weights. `report` and `grid` are called every `grid_every` steps. The processes of a group
    share each batch; one of them writes.
    """
    together = group()
    parts = together.parts(settings.batch_size, "train_deid.batch_size")
    duel = Duel(model, judges, features, settings, together)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    running = RunningLosses(*LOSSES)
    kept = {"model": model, "discriminator": duel.discriminator, "ema": ema, "theirs": duel.theirs}
    kept["running"] = running
    first = load_checkpoint(checkpoint, duel.ours, **kept)
    bar = tqdm(
        range(first, settings.steps), initial=first, total=settings.steps, desc="deid", mininterval=5,
        disable=not together.is_main,
    )  # fmt: skip
    for step in bar:
        chance = draw_chance(
            len(features), settings.batch_size, features.images.shape[1], model.config.password_dim,
            settings.phi_jitter, step_generator(settings.seed, step),
        )  # fmt: skip
        duel.set_rates(step)
        found = duel.step([chance.take(part) for part in parts], with_slope=step % SLOPE_EVERY == 0)
        ema.update_parameters(model)
        running.update(together.sum_losses(found))
        bar.set_postfix({name: f"{value:.2f}" for name, value in running.values().items()}, refresh=False)
        if not together.is_main:
            continue
        if settings.grid_every and (step + 1) % settings.grid_every == 0:
            if report is not None:
                report(step + 1, running.values())
            if grid is not None:
                grid(step + 1, ema.module)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            save_checkpoint(checkpoint, step + 1, duel.ours, **kept)
    model.load_state_dict(ema.module.state_dict())
    model.eval()
    return running.values()


class Duel:
    """The networks that are trained against one another, and one step of both."""

    def __init__(
        self, model: MedSemDeID, judges: Judges, features: OriginalFeatures, settings: DeidSettings, together: Group
    ) -> None:
        """Prepare `model`, in place, and a seeded discriminator, with Adam for each."""
        self.device = next(judges.vae.parameters()).device
        self.model, self.judges, self.features = model, judges, features
        self.settings, self.together = settings, together
        self.scale = prepare(model, features).to(self.device)
        model.to(self.device).train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.discriminator = PatchDiscriminator(settings.discriminator_width).to(self.device)
        self.ours = torch.optim.Adam(model.parameters(), lr=0.0, betas=settings.betas)
        self.theirs = torch.optim.Adam(self.discriminator.parameters(), lr=0.0, betas=settings.betas)
        self._weights = {"med": settings.lambda_med, "rev": settings.lambda_rev, "gan": settings.lambda_gan}

    def set_rates(self, step: int) -> None:
        """Set both learning rates to those of a step."""
        for optimizer, factor in ((self.ours, 1.0), (self.theirs, self.settings.discriminator_rate)):
            for parameters in optimizer.param_groups:
                parameters["lr"] = factor * self.settings.rate(step)

    def step(self, shares: Sequence[Chance], *, with_slope: bool) -> dict[str, float]:
        """Step the discriminator, then the model; return this process's share of the losses."""
        found: dict[str, float] = defaultdict(float)
        batches = [self.features.batch(chance.rows, self.device) for chance in shares]
        whole = len(shares) == 1
        fakes = torch.empty(0)
        self.theirs.zero_grad()
        for chance, batch in zip(shares, batches, strict=True):
            with torch.set_grad_enabled(whole):  # the graphs of several parts at once are what did not fit
                fakes = self._fakes(chance, batch)
            told = self._told(fakes, chance, batch, with_slope)
            found["discriminator"] += self._backward(told, chance)
        self._descend(self.theirs, self.discriminator)
        self.discriminator.requires_grad_(False)
        self.ours.zero_grad()
        for chance, batch in zip(shares, batches, strict=True):
            fakes = fakes if whole else self._fakes(chance, batch)
            with self._autocast():
                ask = (batch, self.judges, self.discriminator, self.scale, self.settings, chance)
                values = generator_losses(fakes, *ask)
            self._backward(sum_weighted(values, self._weights), chance)
            for name, value in values.items():
                found[name] += float(value.detach()) * self._share(chance)
        self._descend(self.ours, self.model)
        self.discriminator.requires_grad_(True)
        return found

    def _fakes(self, chance: Chance, batch: Batch) -> Float[Tensor, "3b 3 h w"]:
        right, wrong = chance.right.to(self.device), chance.wrong.to(self.device)
        with self._autocast():
            return make_fakes(self.model, self.judges.vae, batch, right, wrong)

    def _told(
        self, fakes: Float[Tensor, "3b 3 h w"], chance: Chance, batch: Batch, with_slope: bool
    ) -> Float[Tensor, ""]:
        with self._autocast():
            real = self.discriminator(chance.real(batch.x))
            told = losses.discriminator_loss(real, self.discriminator(chance.fake(fakes.detach())))
        if with_slope:
            weight = self.settings.slope_weight * SLOPE_EVERY
            told = told + weight * slope_penalty(self.discriminator, batch.x)
        return told

    def _backward(self, loss: Float[Tensor, ""], chance: Chance) -> float:
        share = loss * self._share(chance)
        share.backward()
        return float(share.detach())

    def _share(self, chance: Chance) -> float:
        return len(chance.rows) / self.settings.batch_size

    def _descend(self, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
        self.together.sum_gradients(module.parameters())
        nn.utils.clip_grad_norm_(module.parameters(), self.settings.max_grad_norm)
        optimizer.step()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")


def sum_weighted(found: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Return L of the paper; losses without a weight of their own count once."""
    return torch.stack([weights.get(name, 1.0) * value for name, value in found.items()]).sum()
