"""A training step of MedSem-DeID: ours against one that encodes X anew.

The peer encodes X and asks Enc_med and phi about it once a step, and decodes and judges X_enc, X_hat and X_wrong one
after the other. Ours looks X up and takes the three in one batch, by the functions that the training calls; the
discriminator, the optimizer and what else both would do alike are left out. Losses and gradients are compared. Random
weights: the classes and shapes of production.
"""

import tempfile
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
from models.deid.features import OriginalFeatures, cache_features
from models.deid.medical_encoder import MedicalEncoder
from models.deid.networks import DeidConfig, MedSemDeID, decode, encode
from models.deid.training import Judges, MedicalScale, make_fakes, prepare
from models.identity.network import INPUT_PX, build_recogniser

RELATIVE = 1e-3


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


def gradients(model: MedSemDeID, loss: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the loss and the gradients of every weight that it reaches."""
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return loss.detach(), [gradient for gradient in found if gradient is not None]


def total(parts: dict[str, Tensor]) -> Tensor:
    """Return the paper's weighted sum without L_GAN, which both steps would pay alike."""
    return parts["deid"] + parts["rev_id"] + parts["wrong"] + 5 * parts["med"] + 0.1 * parts["rev"]


def ours(
    model: MedSemDeID,
    judges: Judges,
    features: OriginalFeatures,
    scale: MedicalScale,
    rows: Tensor,
    keys: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """X from the cache, three images in one batch."""
    batch = features.batch(rows, keys.device)
    fakes = make_fakes(model, judges.vae, batch, *keys)
    enc, hat, _ = fakes.chunk(3)
    phi_enc, phi_hat, phi_wrong = judges.phi(fakes).chunk(3)
    parts = {
        "deid": losses.l_deid(batch.phi, phi_enc),
        "rev_id": losses.l_rev_id(batch.phi, phi_hat),
        "wrong": losses.l_wrong(batch.phi, phi_wrong),
        "med": losses.l_med(batch.f_med, judges.medical(enc), scale.std, scale.relevance),
        "rev": losses.l_rev(batch.x, hat),
    }
    return gradients(model, total(parts))


def naive(
    model: MedSemDeID,
    judges: Judges,
    features: OriginalFeatures,
    scale: MedicalScale,
    rows: Tensor,
    keys: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """X encoded and judged in the step, the three images one after the other."""
    x = torch.from_numpy(features.images[rows.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1
    x = x.to(keys.device)
    phi, f_med = judges.phi(x), judges.medical(x)
    f_enc = model.encrypt(model.features(encode(judges.vae, x), f_med), keys[0])
    enc = decode(judges.vae, model.latents(f_enc))
    hat = decode(judges.vae, model.latents(model.decrypt(f_enc, keys[0])))
    wrong = decode(judges.vae, model.latents(model.decrypt(f_enc, keys[1])))
    parts = {
        "deid": losses.l_deid(phi, judges.phi(enc)),
        "rev_id": losses.l_rev_id(phi, judges.phi(hat)),
        "wrong": losses.l_wrong(phi, judges.phi(wrong)),
        "med": losses.l_med(f_med, judges.medical(enc), scale.std, scale.relevance),
        "rev": losses.l_rev(x, hat),
    }
    return gradients(model, total(parts))


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
    images = np.random.default_rng(0).integers(
        0, 256, (batch_size, image_size_px, image_size_px, 3), np.uint8
    )
    features = cache_features(
        list(images), [i % 2 for i in range(batch_size)], vae, judges.medical, judges.phi, folder
    )
    scale = prepare(model, features).to(device)
    rows = torch.arange(batch_size)
    keys = torch.randn(2, batch_size, 512).to(device)
    own, peer = (lambda f=f: f(model, judges, features, scale, rows, keys) for f in (ours, naive))

    def check() -> str:
        loss, gradient = apart(own(), peer())
        assert loss < RELATIVE, loss
        assert gradient < 20 * RELATIVE, gradient  # f_med and latents are cached in half precision
        return f"losses within {loss:.0e}, gradients within {gradient:.0e}"

    flop = harness.flop_of(own)
    product, share = harness.products(flop, torch.float32, device)
    return Case(
        "deid_step", f"batch {batch_size} of {image_size_px} px, autoencoder of width {width}", ours=own,
        peers={"X anew each step": peer}, check=check, limit=product,
        limit_name=f"{flop / 1e12:.3g} TFLOP of products",
        targets={"X anew each step": 1.5}, scale={"limit": share},
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
