"""The codec twin: a small AutoencoderKL trained on public phantoms, its latents of unit variance."""

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import l1_loss
from tqdm import tqdm

from models.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator

LATENT_CHANNELS = 16
BAND = (0.27, 0.64)  # rows of the tight crop that hold brows, lids and eyes


def build_codec(image_size_px: int) -> AutoencoderKL:
    """Return an untrained AutoencoderKL, factor 8, 16 latent channels."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        layers_per_block=1,
        sample_size=image_size_px,
        scaling_factor=1.0,
    )


def eye_weights(size: int, weight: float) -> Float[Tensor, "1 1 size size"]:
    """Return loss weights: 1, and `weight` in the band of rows that holds the eyes (mean not normalised)."""
    weights = torch.ones(1, 1, size, size)
    weights[:, :, round(BAND[0] * size) : round(BAND[1] * size)] = weight
    return weights


def to_signal(images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Return images as the networks take them: channels first, -1 to 1."""
    return (images.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def codec_loss(x: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h w"], weights: Tensor) -> Tensor:
    """Return weighted absolute error of pixels and of their horizontal and vertical differences."""
    error = (x - y).abs() + 4 * (x - y).square()
    edges = l1_loss(x.diff(dim=-1), y.diff(dim=-1)) + l1_loss(x.diff(dim=-2), y.diff(dim=-2))
    return (error * weights).mean() / weights.mean() + edges


def train_codec(
    images: UInt8[Tensor, "n h w 3"], *, steps: int, batch_size: int, learning_rate: float, seed: int, checkpoint: Path
) -> AutoencoderKL:
    """Train on `images` and return the codec with unit-variance latents; goes on from `checkpoint`."""
    torch.manual_seed(seed)
    codec = build_codec(images.shape[1]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=1e-4)
    first = load_checkpoint(checkpoint, optimizer, codec=codec)
    weights = eye_weights(images.shape[1], 3.0)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="codec", mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        x = to_signal(images[torch.randint(len(images), (batch_size,), generator=generator)])
        with torch.autocast("cpu", torch.bfloat16):
            posterior = codec.encode(x).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            y = codec.decode(posterior.mean + posterior.std * noise).sample
        loss = codec_loss(x, y.float(), weights) + 1e-3 * posterior.kl().float().mean() / x[0].numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=100)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % 200 == 0:
            save_checkpoint(checkpoint, step + 1, optimizer, codec=codec)
    normalise_latents(codec, images[:512])
    return codec.eval()


@torch.no_grad()
def encode_mean(codec: AutoencoderKL, images: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n c h w"]:
    """Return the posterior means of all images, 64 at a time."""
    with torch.autocast("cpu", torch.bfloat16):
        parts = [codec.encode(to_signal(batch)).latent_dist.mean.float() for batch in images.split(64)]
    return torch.cat(parts).contiguous()


@torch.no_grad()
def normalise_latents(codec: AutoencoderKL, images: UInt8[Tensor, "n h w 3"]) -> None:
    """Fold each channel's mean and spread into the 1x1 convolutions beside the latents, which become N(0, 1)-like.

    The decoder undoes it, so pictures stay the same. The posterior's variance is scaled alike.
    """
    latents = encode_mean(codec, images)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    quant, post = codec.quant_conv, codec.post_quant_conv
    assert quant is not None
    assert post is not None
    c = len(mean)
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight *= std[None, :, None, None]
    quant.weight[:c] /= std[:, None, None, None]
    quant.bias[:c] = (quant.bias[:c] - mean) / std
    quant.bias[c:] -= 2 * std.log()


@torch.no_grad()
def reconstruct(codec: AutoencoderKL, images: UInt8[Tensor, "n h w 3"]) -> Iterator[UInt8[Tensor, "b h w 3"]]:
    """Yield encoded and decoded images, 64 at a time."""
    for batch in images.split(64):
        y = codec.decode(codec.encode(to_signal(batch)).latent_dist.mean).sample
        yield ((y.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def psnr(x: UInt8[Tensor, "*s"], y: UInt8[Tensor, "*s"]) -> float:
    """Return the peak signal-to-noise ratio in dB of 8-bit images, over all pixels."""
    error = (x.float() - y.float()).square().mean()
    return float(10 * torch.log10(255**2 / error))
