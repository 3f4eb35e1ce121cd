"""What a training asks of every original again and again, computed once: X, its latents, f_med(X), phi(X)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, Int, UInt8
from numpy.lib.format import open_memmap
from torch import Tensor, nn
from tqdm import tqdm

from models.deid.encoders.medical_encoder import MedicalEncoder
from models.deid.networks import encode
from models.training.augmentation import to_signal
from models.training.distributed import group

BATCH = 16
NAMES = ("images", "latents", "f_med", "phi")


@dataclass(frozen=True)
class Batch:
    """Some originals with what is known of them, on one device."""

    x: Float[Tensor, "b 3 h w"]
    latents: Float[Tensor, "b c h8 w8"]
    f_med: Float[Tensor, "b m h16 w16"]
    phi: Float[Tensor, "b d"]


@dataclass(frozen=True)
class OriginalFeatures:
    """Memory maps of n originals and their n mirror images: uint8 images, fp16 features, fp32 embeddings."""

    images: np.ndarray
    latents: np.ndarray
    f_med: np.ndarray
    phi: np.ndarray
    diseases: np.ndarray  # int64 [2n], index into DISEASES

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Int[Tensor, " b"], device: torch.device) -> Batch:
        """Return these rows as fp32 tensors."""
        index = rows.numpy()
        x = to_signal(torch.from_numpy(self.images[index]), self.images.shape[1])
        latents, f_med, phi = (torch.from_numpy(array[index]).float() for array in (self.latents, self.f_med, self.phi))
        return Batch(*(tensor.to(device) for tensor in (x, latents, f_med, phi)))

    def med_moments(self) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
        """Return mean and deviation of each channel of f_med over all originals."""
        total = torch.zeros(self.f_med.shape[1], dtype=torch.float64)
        square, count = total.clone(), 0
        for start in range(0, len(self), 256):
            part = torch.from_numpy(self.f_med[start : start + 256].astype(np.float64))
            total, square = total + part.sum((0, 2, 3)), square + part.square().sum((0, 2, 3))
            count += part[:, 0].numel()
        mean = total / count
        std = (square / count - mean.square()).clamp(min=1e-8).sqrt()
        return mean.float().view(1, -1, 1, 1), std.float().view(1, -1, 1, 1)


def cache_features(
    images: Sequence[UInt8[np.ndarray, "s s 3"]],
    diseases: Sequence[int],
    vae: AutoencoderKL,
    medical: MedicalEncoder,
    phi: nn.Module,
    folder: Path,
) -> OriginalFeatures:
    """Compute the features of `images` and of their mirror images into `folder`, or find them there.

    `diseases` are indices into models.diseases.DISEASES. In a group one process computes, and the others wait.
    """
    together, done = group(), folder / "done"
    if together.is_main and not done.exists():
        _compute_all(images, vae, medical, phi, folder)
        done.touch()
    together.wait()
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in NAMES}
    return OriginalFeatures(diseases=np.array([*diseases, *diseases]), **arrays)


@torch.no_grad()
def _compute_all(
    images: Sequence[np.ndarray], vae: AutoencoderKL, medical: MedicalEncoder, phi: nn.Module, folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    device = next(vae.parameters()).device
    maps: list[np.ndarray] = []
    with tqdm(total=2 * len(images), desc="features", unit="img", mininterval=5) as bar:
        for start in range(0, 2 * len(images), BATCH):
            rows = range(start, min(start + BATCH, 2 * len(images)))
            pixels = np.stack([_mirrored(images, row) for row in rows])
            x = to_signal(torch.from_numpy(pixels), pixels.shape[1]).to(device)
            parts = [pixels, encode(vae, x).half(), medical(x).half(), phi(x).float()]
            arrays = [part if isinstance(part, np.ndarray) else part.cpu().numpy() for part in parts]
            maps = maps or [
                _open(folder, name, 2 * len(images), array) for name, array in zip(NAMES, arrays, strict=True)
            ]
            for memory, values in zip(maps, arrays, strict=True):
                memory[rows.start : rows.stop] = values
            bar.update(len(rows))
    for memory in maps:
        memory.flush()  # type: ignore[attr-defined]


def _mirrored(images: Sequence[np.ndarray], row: int) -> np.ndarray:
    """Return original `row`, or from the end of the originals on, their mirror images."""
    return images[row] if row < len(images) else images[row - len(images)][:, ::-1]


def _open(folder: Path, name: str, num: int, like: np.ndarray) -> np.ndarray:
    return open_memmap(folder / f"{name}.npy", mode="w+", dtype=like.dtype, shape=(num, *like.shape[1:]))
