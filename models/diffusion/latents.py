"""Latents of photographs: the autoencoder's posterior is computed once, every epoch draws anew from it.

Caching mean and standard deviation keeps the law of encoding afresh at each step; caching one sample or the
mean alone (as common trainers do) does not.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from models.training.augmentation import to_signal
from models.training.distributed import group


@dataclass(frozen=True)
class LatentMoments:
    """Mean and standard deviation of every photo's posterior, before scaling; memory maps in fp16."""

    mean: np.ndarray
    std: np.ndarray
    scaling_factor: float
    shift_factor: float

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, rows: Int[Tensor, " b"], generator: torch.Generator) -> Float[Tensor, "b c h w"]:
        """Return latents of the given photos, drawn from their posteriors, as the UNet takes them."""
        index = rows.numpy()
        mean, std = (torch.from_numpy(moment[index]).float() for moment in (self.mean, self.std))
        sample = mean + std * torch.randn(mean.shape, generator=generator)
        return to_unet(sample, self.scaling_factor, self.shift_factor)


def to_unet(latents: Float[Tensor, "*s"], scaling_factor: float, shift_factor: float) -> Float[Tensor, "*s"]:
    """Return the autoencoder's latents shifted and scaled to the unit variance that the UNet expects."""
    return (latents - shift_factor) * scaling_factor


def from_unet(latents: Float[Tensor, "*s"], scaling_factor: float, shift_factor: float) -> Float[Tensor, "*s"]:
    """Return the UNet's latents as the autoencoder decodes them."""
    return latents / scaling_factor + shift_factor


def factors(vae: AutoencoderKL) -> tuple[float, float]:
    """Return the configuration's scaling factor and shift (0 where it has none)."""
    return vae.config["scaling_factor"], vae.config.get("shift_factor") or 0.0


def cache_moments(
    vae: AutoencoderKL, images: Iterable[UInt8[np.ndarray, "h w 3"]], num: int, folder: Path, batch_size: int = 16
) -> LatentMoments:
    """Encode `num` images into `folder`, or go on behind the batches that stand there (same order needed).

    In a group one process encodes, and the others wait for it.
    """
    together = group()
    if together.is_main:
        _encode_all(vae, images, num, folder, batch_size)
    together.wait()
    mean, std = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("mean", "std"))
    return LatentMoments(mean, std, *factors(vae))


def _encode_all(vae: AutoencoderKL, images: Iterable[np.ndarray], num: int, folder: Path, batch_size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = iter(images)
    maps: list[np.ndarray] = []
    progress = folder / "done.json"
    done = json.loads(progress.read_text()) if progress.exists() else 0
    with tqdm(total=num, initial=done, desc="latents", unit="img", mininterval=5) as bar:
        for start in range(0, num, batch_size):
            stop = min(start + batch_size, num)
            batch = list(islice(source, stop - start))
            if len(batch) != stop - start:
                raise ValueError(f"images: {start + len(batch)} where {num} were announced; run the ingest stage again")
            if stop <= done:
                continue
            mean, std = _moments(vae, np.stack(batch))
            maps = maps or [_open(folder / f"{name}.npy", (num, *mean.shape[1:]), start) for name in ("mean", "std")]
            for memory, values in zip(maps, (mean, std), strict=True):
                memory[start:stop] = values
                memory.flush()  # type: ignore[attr-defined]
            _write_atomically(progress, json.dumps(stop))
            bar.update(len(batch))


def _open(path: Path, shape: tuple[int, ...], done: int) -> np.ndarray:
    if done:
        return np.load(path, mmap_mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@torch.no_grad()
def _moments(vae: AutoencoderKL, images: UInt8[np.ndarray, "b h w 3"]) -> tuple[np.ndarray, np.ndarray]:
    signal = to_signal(torch.from_numpy(images)).to(vae.device, vae.dtype)
    posterior = vae.encode(signal).latent_dist
    return posterior.mean.half().cpu().numpy(), posterior.std.half().cpu().numpy()
