"""The codec twin: an AutoencoderKL whose encoder is set in closed form, its decoder trained on phantoms."""

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from tqdm import tqdm

from models.computing.precision import fast_autocast
from models.training.augmentation import to_signal
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.generator.patch_pca import anchor_last_norm, lay_in_encoder

LATENT_CHANNELS = 24
PATCH_IMAGES = 4000  # whose patches the encoder's components are computed from
BAND = (0.27, 0.64)  # rows of the tight crop that hold brows, lids and eyes


def build_codec(image_size_px: int) -> AutoencoderKL:
    """Return an untrained AutoencoderKL, factor 8, 24 latent channels."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,  # several would each normalise a part of the colour away
        layers_per_block=1,
        sample_size=image_size_px,
        scaling_factor=1.0,
    )


def eye_weights(size: int, weight: float) -> Float[Tensor, "1 1 size size"]:
    """Return loss weights: 1, and `weight` in the band of rows that holds the eyes (mean not normalised)."""
    weights = torch.ones(1, 1, size, size)
    weights[:, :, round(BAND[0] * size) : round(BAND[1] * size)] = weight
    return weights


def codec_loss(x: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h w"], weights: Tensor) -> Tensor:
    """Return weighted absolute error of pixels and of their horizontal and vertical differences."""
    error = (x - y).abs() + 4 * (x - y).square()
    edges = l1_loss(x.diff(dim=-1), y.diff(dim=-1)) + l1_loss(x.diff(dim=-2), y.diff(dim=-2))
    return (error * weights).mean() / weights.mean() + edges


def draw_crops(
    images: UInt8[Tensor, "n h w 3"], num: int, size: int, generator: torch.Generator
) -> tuple[UInt8[Tensor, "b s s 3"], Float[Tensor, "b 1 s s"]]:
    """Return random crops and their loss weights; three of four lie over the band of the eyes."""
    rows = torch.randint(len(images), (num,), generator=generator).tolist()
    room = images.shape[1] - size
    weights = eye_weights(images.shape[1], 3.0)
    left = torch.randint(room + 1, (num,), generator=generator).tolist()
    anywhere, at_eyes = torch.rand(2, num, generator=generator)
    band = min(room, round(BAND[0] * images.shape[1])) * at_eyes.mul(0.5).add(0.5)
    top = torch.where(anywhere < 0.25, at_eyes * room, band).round().int().tolist()
    crops = [images[i, y : y + size, x : x + size] for i, y, x in zip(rows, top, left, strict=True)]
    parts = [weights[0, :, y : y + size, x : x + size] for y, x in zip(top, left, strict=True)]
    return torch.stack(crops), torch.stack(parts)


def train_codec(
    images: UInt8[Tensor, "n h w 3"],
    *,
    steps: int,
    crop_px: int,
    full_steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
) -> AutoencoderKL:
    """Train on crops of `images`, the last `full_steps` on whole ones; goes on from `checkpoint`.

    The decoder alone is trained. Half a side is a quarter of the cost, and eyes fill the crop.
    """
    torch.manual_seed(seed)
    codec = build_codec(images.shape[1]).to(memory_format=torch.channels_last)
    lay_in_encoder(codec, to_signal(images[:PATCH_IMAGES]), eye_weights(images.shape[1], 3.0))
    anchor_last_norm(codec.decoder)
    decoder = nn.ModuleList([codec.decoder, codec.post_quant_conv])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=1e-4)
    first = load_checkpoint(checkpoint, optimizer, decoder=decoder)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="codec", mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        size = images.shape[1] if step >= steps - full_steps else crop_px
        crops, weights = draw_crops(images, batch_size, size, generator)
        x = to_signal(crops)
        with fast_autocast():
            with torch.no_grad():
                posterior = codec.encode(x).latent_dist
                noise = torch.randn(posterior.mean.shape, generator=generator)
            y = codec.decode(posterior.mean + posterior.std * noise).sample
        loss = codec_loss(x, y.float(), weights)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=100)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, decoder=decoder)
    return codec.eval()


@torch.no_grad()
def encode_mean(codec: AutoencoderKL, images: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n c h w"]:
    """Return the posterior means of all images, 64 at a time."""
    with fast_autocast():
        parts = [codec.encode(to_signal(batch)).latent_dist.mean.float() for batch in images.split(64)]
    return torch.cat(parts).contiguous()


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
