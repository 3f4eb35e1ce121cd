"""The generator's half of a training step of MedSem-DeID, against steps that look nothing up.

Ours looks up what is known of X and takes X_enc, X_hat and X_wrong in one batch, by the functions that the training
calls. The first peer makes each of the three by a forward of its own, from X to the picture, and computes f_med each
time. The second computes X's latents, f_med and phi once a step. The discriminator's own half, the optimizer and what
else all would do alike are left out. Losses and gradients are compared. Random weights: the classes and shapes of
production.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import AutoencoderKL
from torch import Tensor, nn

from benchmarks import harness
from benchmarks.harness import Case
from models.deid import losses
from models.deid.chance import Chance, draw_chance
from models.deid.discriminator import PatchDiscriminator
from models.deid.encoders.medical_encoder import MedicalEncoder
from models.deid.features import OriginalFeatures, cache_features
from models.deid.networks import DeidConfig, MedSemDeID, decode, encode
from models.deid.training import DeidSettings, Judges, MedicalScale, generator_losses, make_fakes, prepare, sum_weighted
from models.identity.network import INPUT_PX, build_recogniser
from models.training.augmentation import to_signal

RELATIVE = 1e-3
DISCRIMINATOR_WIDTH = 32


class Phi(nn.Module):
    """A recogniser of random weights at the size of the twins."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build_recogniser(1, (24, 48, 80, 112), (1, 2, 1), "flatten").eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return unit embeddings [b, 128]."""
        resized = nn.functional.interpolate(images, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True)
        return nn.functional.normalize(self.network(resized), dim=1)


class LatentMedical(MedicalEncoder):
    """Enc_med's costs: the autoencoder's encoder, then a convolution to H/16."""

    channels = 320

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        channels = vae.config["latent_channels"]
        self.block = nn.Conv2d(channels, self.channels, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return features [b, 320, h/16, w/16]."""
        return self.block(encode(self.vae, images))

    def save(self, folder: Path) -> None:
        """Is not written."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, config: object) -> "LatentMedical":
        """Is not read."""
        raise NotImplementedError

    @classmethod
    def fine_tune(cls, *_: object) -> tuple["LatentMedical", dict]:
        """Is not tuned."""
        raise NotImplementedError


@dataclass(frozen=True)
class Step:
    """What all candidates share: networks, originals, and one step's chance."""

    model: MedSemDeID
    judges: Judges
    discriminator: PatchDiscriminator
    features: OriginalFeatures
    scale: MedicalScale
    settings: DeidSettings
    chance: Chance

    @property
    def keys(self) -> tuple[Tensor, Tensor]:
        """Return the right and the wrong passwords, where the networks are."""
        device = next(self.model.parameters()).device
        return self.chance.right.to(device), self.chance.wrong.to(device)

    def originals(self) -> Tensor:
        """Return X."""
        images = torch.from_numpy(self.features.images[self.chance.rows.numpy()])
        return to_signal(images, images.shape[1]).to(self.keys[0].device)

    def gradients(self, found: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the paper's weighted sum and its gradients in every weight that it reaches."""
        weights = {"med": self.settings.lambda_med, "rev": self.settings.lambda_rev}
        loss = sum_weighted(found, weights | {"gan": self.settings.lambda_gan})
        slopes = torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True)
        return loss.detach(), [slope for slope in slopes if slope is not None]


def ours(step: Step) -> tuple[Tensor, list[Tensor]]:
    """What is known of X looked up, three images in one batch: the training's own functions."""
    batch = step.features.batch(step.chance.rows, step.keys[0].device)
    fakes = make_fakes(step.model, step.judges.vae, batch, *step.keys)
    ask = (batch, step.judges, step.discriminator, step.scale, step.settings, step.chance)
    return step.gradients(generator_losses(fakes, *ask))


def three_forwards(step: Step) -> tuple[Tensor, list[Tensor]]:
    """Each image by a forward of its own, f_med and phi computed whenever they are wanted."""
    model, vae, medical, phi = step.model, step.judges.vae, step.judges.medical, step.judges.phi
    x, (right, wrong) = step.originals(), step.keys

    def encrypted() -> Tensor:
        return model.encrypt(model.features(encode(vae, x), medical(x)), right)

    def shown(f: Tensor) -> Tensor:
        return decode(vae, model.latents(f))

    fakes = [shown(encrypted()), *(shown(model.decrypt(encrypted(), key)) for key in (right, wrong))]
    return step.gradients(judged(step, fakes, x, lambda: phi(x), lambda: medical(x)))


def once_a_step(step: Step) -> tuple[Tensor, list[Tensor]]:
    """X encoded and judged once in the step, the three images one after the other."""
    model, vae, x, (right, wrong) = step.model, step.judges.vae, step.originals(), step.keys
    phi, f_med = step.judges.phi(x), step.judges.medical(x)
    f_enc = model.encrypt(model.features(encode(vae, x), f_med), right)
    features = [f_enc, *(model.decrypt(f_enc, key) for key in (right, wrong))]
    fakes = [decode(vae, model.latents(f)) for f in features]
    return step.gradients(judged(step, fakes, x, lambda: phi, lambda: f_med))


def judged(
    step: Step, fakes: list[Tensor], x: Tensor, phi_of_x: Callable[[], Tensor], f_med_of_x: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """Return the losses as the paper writes them, an image at a time."""
    phi, (enc, hat, wrong) = step.judges.phi, fakes
    return {
        "deid": losses.l_deid(phi_of_x(), phi(enc)),
        "rev_id": losses.l_rev_id(phi_of_x(), phi(hat)),
        "wrong": losses.l_wrong(phi_of_x(), phi(wrong)),
        "med": losses.l_med(f_med_of_x(), step.judges.medical(enc), step.scale.std, step.scale.relevance),
        "rev": losses.l_rev(x, hat),
        "gan": losses.l_gan(step.discriminator(step.chance.judged(torch.cat(fakes)))),
    }


def settings_of(batch_size: int) -> DeidSettings:
    """Return the paper's settings, for one step."""
    return DeidSettings(
        steps=1, batch_size=batch_size, learning_rate=1e-4, halve_at=(), betas=(0.5, 0.99), max_grad_norm=1.0,
        ema_decay=0.99, lambda_med=5.0, lambda_rev=0.1, lambda_gan=1.0, cosine_floor=-1.0, phi_jitter=0.0,
        discriminator_width=DISCRIMINATOR_WIDTH, discriminator_rate=1.0, slope_weight=0.0, precision="fp32",
        checkpoint_every=1, grid_every=0, seed=0,
    )  # fmt: skip


def apart(a: tuple[Tensor, list[Tensor]], b: tuple[Tensor, list[Tensor]]) -> tuple[float, float]:
    """Return the relative differences of the losses and of the gradients."""
    left, right = (torch.cat([g.flatten() for g in found[1]]) for found in (a, b))
    return float((a[0] - b[0]).abs() / b[0].abs()), float((left - right).norm() / right.norm())


def case(folder: Path, batch_size: int, image_size_px: int, width: int) -> Case:
    """Return the step on `batch_size` images of noise, whose look costs nothing."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    levels = (width, 2 * width, 4 * width, 4 * width)
    vae = AutoencoderKL(
        block_out_channels=levels, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=8, layers_per_block=2,
    )  # fmt: skip
    judges = Judges(vae, LatentMedical(vae), Phi())
    for part in (judges.vae, judges.medical, judges.phi):
        part.requires_grad_(False).eval().to(device)
    model = MedSemDeID(DeidConfig(image_size_px, 4, 320, num_eigenfaces=min(64, batch_size // 2))).to(device)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, image_size_px, image_size_px, 3), np.uint8)
    features = cache_features(list(images), [i % 2 for i in range(batch_size)], vae, judges.medical, judges.phi, folder)
    step = Step(
        model, judges, PatchDiscriminator(DISCRIMINATOR_WIDTH).requires_grad_(False).to(device), features,
        prepare(model, features).to(device), settings_of(batch_size),
        draw_chance(batch_size, batch_size, image_size_px, 512, 0.0, torch.Generator().manual_seed(0)),
    )  # fmt: skip
    own = partial(ours, step)
    peers = {"three forwards": partial(three_forwards, step), "X once a step": partial(once_a_step, step)}

    def check() -> str:
        found = [apart(own(), peer()) for peer in peers.values()]
        loss, gradient = (max(parts) for parts in zip(*found, strict=True))
        assert loss < RELATIVE, f"losses are {loss:.1e} apart"
        # f_med and latents are cached in half precision
        assert gradient < 20 * RELATIVE, f"gradients are {gradient:.1e} apart"
        return f"losses within {loss:.0e}, gradients within {gradient:.0e}"

    flop = harness.flop_of(own)
    product, share = harness.products(flop, torch.float32, device)
    return Case(
        "deid_step", f"batch {batch_size} of {image_size_px} px, autoencoder of width {width}", ours=own,
        peers=peers, check=check, limit=product, limit_name=f"{flop / 1e12:.3g} TFLOP of products",
        targets={"three forwards": 1.5}, scale={"limit": share},
    )  # fmt: skip


def main(
    batch_size: Annotated[int, typer.Option(min=4)] = 16,
    image_size_px: Annotated[int, typer.Option(help="a multiple of 32")] = 256,
    width: Annotated[int, typer.Option(help="channels of the autoencoder's first level; v1-5 has 128")] = 16,
    rounds: harness.Rounds = 3,
    out: harness.Out = None,
) -> None:
    """Assert equality, then let both steps take turns."""
    with tempfile.TemporaryDirectory() as folder:
        harness.report(case(Path(folder), batch_size, image_size_px, width), rounds, out)


if __name__ == "__main__":
    typer.run(main)
