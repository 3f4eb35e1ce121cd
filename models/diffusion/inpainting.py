"""Everything but the eyes drawn anew by the fine-tuned diffusion model.

Blended latents (Avrahami et al. 2022, Blended Latent Diffusion): after every step the latents in the eyes' band are
replaced by those of the original at that noise level, and at the end the band's pixels are put back with a soft
edge. The caption names the disease; the eyes' band stays as it was, with whatever of the identity lies
in it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from jaxtyping import Float, UInt8
from torch import Tensor

from models.diffusion.generator import LoadedGenerator
from models.diffusion.latents import factors, to_unet
from models.diffusion.sampling import decode_latents
from models.diseases import prompt
from models.training.augmentation import to_signal


@dataclass(frozen=True)
class InpaintingSettings:
    """The band that is kept, as shares of the image's width; steps, guidance, and the one batch shape."""

    top: float
    bottom: float
    left: float
    right: float
    edge: float  # standard deviation of the soft edge in pixels, share of the width
    num_inference_steps: int
    guidance_scale: float
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        band = (self.top, self.bottom, self.left, self.right)
        if not (0 <= self.top < self.bottom <= 1 and 0 <= self.left < self.right <= 1):
            raise ValueError(f"inpaint: {band} is no band; 0 <= top < bottom <= 1, 0 <= left < right <= 1")


class Inpainting:
    """Draws all but the eyes' band anew, from the disease's caption and noise of the image's own seed."""

    def __init__(self, generator: LoadedGenerator, settings: InpaintingSettings) -> None:
        self._generator, self._settings = generator, settings

    def draw(self, images: UInt8[np.ndarray, "n s s 3"], diseases: Sequence[str]) -> UInt8[np.ndarray, "n s s 3"]:
        """Return the pictures; each depends on its image, its disease and the seed alone."""
        size = self._settings.batch_size
        made = [np.zeros((0, *images.shape[1:]), np.uint8)]
        for start in range(0, len(images), size):
            made.append(self._batch(images[start : start + size], diseases[start : start + size]))
        return np.concatenate(made)

    def _batch(self, images: np.ndarray, diseases: Sequence[str]) -> np.ndarray:
        """Return the pictures of one batch, padded to the one shape in which equal rows give equal pixels."""
        missing = self._settings.batch_size - len(images)
        padded = np.concatenate([images, np.repeat(images[-1:], missing, 0)])
        captions = [prompt(disease) for disease in [*diseases, *[diseases[-1]] * missing]]
        drawn = decode_latents(self._generator, self._latents(padded, captions)).numpy()
        return put_back(drawn, padded, self._settings)[: len(images)]

    @torch.no_grad()
    def _latents(self, images: np.ndarray, captions: Sequence[str]) -> Float[Tensor, "b c h w"]:
        generator = self._generator
        device, dtype = generator.unet.device, generator.vae.dtype
        signal = to_signal(torch.from_numpy(images)).to(device, dtype)
        moments = generator.vae.encode(signal).latent_dist
        originals = to_unet(moments.mean.float(), *factors(generator.vae))
        noise = torch.stack([self._noise(image) for image in images]).to(device)
        text = generator.prompt_table[[generator.prompts.index(caption) for caption in captions]]
        nothing = generator.prompt_table[generator.prompts.index("")].expand_as(text)
        kept = kept_latents(generator.latent_shape[1], self._settings).to(device)
        return denoise_around(generator, originals, kept, noise, text, nothing, self._settings)

    def _noise(self, image: np.ndarray) -> Float[Tensor, "c h w"]:
        digest = hashlib.sha256(f"{self._settings.seed}:".encode() + image.tobytes()).digest()
        source = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return torch.randn(self._generator.latent_shape, generator=source)


@torch.no_grad()
def denoise_around(
    generator: LoadedGenerator,
    originals: Float[Tensor, "b c h w"],
    kept: Float[Tensor, "h w"],
    noise: Float[Tensor, "b c h w"],
    prompt_embeds: Float[Tensor, "b t d"],
    negative_embeds: Float[Tensor, "b t d"],
    settings: InpaintingSettings,
) -> Float[Tensor, "b c h w"]:
    """Return latents that equal `originals` where `kept` is 1 and are drawn to fit them elsewhere."""
    scheduler = DPMSolverMultistepScheduler.from_config(generator.scheduler_config)
    scheduler.set_timesteps(settings.num_inference_steps, device=noise.device)
    text, latents = torch.cat([negative_embeds, prompt_embeds]), noise
    following = [*scheduler.timesteps[1:], None]
    for timestep, after in zip(scheduler.timesteps, following, strict=True):
        both = torch.cat([latents, latents]).to(generator.unet.dtype, memory_format=torch.channels_last)
        negative, positive = generator.unet(both, timestep, text).sample.float().chunk(2)
        predicted = negative + settings.guidance_scale * (positive - negative)
        latents = scheduler.step(predicted, timestep, latents).prev_sample  # type: ignore[union-attr]
        known = originals if after is None else scheduler.add_noise(originals, noise, after[None])
        latents = kept * known + (1 - kept) * latents
    return latents


def kept_latents(size: int, settings: InpaintingSettings) -> Float[Tensor, "size size"]:
    """Return 1 for every latent whose cell touches the band, else 0."""
    rows, columns = (
        slice(int(np.floor(first * size)), int(np.ceil(last * size)))
        for first, last in ((settings.top, settings.bottom), (settings.left, settings.right))
    )
    kept = torch.zeros(size, size)
    kept[rows, columns] = 1
    return kept


def put_back(
    drawn: UInt8[np.ndarray, "n s s 3"], images: UInt8[np.ndarray, "n s s 3"], settings: InpaintingSettings
) -> UInt8[np.ndarray, "n s s 3"]:
    """Return the drawn pictures with the original band: exact inside, fading outwards over two deviations."""
    size = images.shape[1]
    band = np.zeros((size, size), np.float64)
    rows = slice(round(settings.top * size), round(settings.bottom * size))
    band[rows, round(settings.left * size) : round(settings.right * size)] = 1
    if settings.edge:
        beside = cv2.distanceTransform((band == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        band = np.clip(1 - beside.astype(np.float64) / (2 * settings.edge * size), 0, 1)
    weight = band[None, :, :, None]
    return np.round(weight * images + (1 - weight) * drawn).astype(np.uint8)
