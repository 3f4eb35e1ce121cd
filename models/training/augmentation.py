"""What a photograph or a generator may do to a face, for training the judges."""

import cv2
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


def to_signal(images: UInt8[Tensor, "b h w 3"], size: int | None = None) -> Float[Tensor, "b 3 h2 w2"]:
    """Return RGB in [-1, 1], channels first, resized bilinearly to `size` pixels where it is given."""
    signal = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    if size is None or signal.shape[-2:] == (size, size):
        return signal
    return F.interpolate(signal, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def augment(
    images: UInt8[Tensor, "b h w 3"], size: int, generator: torch.Generator, *, shift: float = 0.02
) -> Float[Tensor, "b 3 {size} {size}"]:
    """Return `images` in [-1, 1] at `size` pixels, each placed, lit, blurred and made noisy at random.

    `shift` is the largest displacement as a share of the width; scale varies by as much, rotation by 4 °.
    """
    signal = to_signal(_recompress(images, generator), images.shape[1])
    return _develop(_place(signal, size, generator, shift), generator)


def augment_in_place(images: UInt8[Tensor, "b h w 3"], generator: torch.Generator) -> Float[Tensor, "b 3 h w"]:
    """Return `images` in [-1, 1], lit, blurred and made noisy at random; every pixel stays where it is."""
    return _develop(to_signal(_recompress(images, generator), images.shape[1]), generator)


def _develop(signal: Tensor, generator: torch.Generator) -> Tensor:
    signal = _blur(_light(signal, generator), generator)
    strength = 0.06 * torch.rand(len(signal), 1, 1, 1, generator=generator) ** 2
    return signal + strength * torch.randn(signal.shape, generator=generator)


def _recompress(images: UInt8[Tensor, "b h w 3"], generator: torch.Generator) -> UInt8[Tensor, "b h w 3"]:
    """Pass a quarter of the images through JPEG of quality 40 to 95."""
    images = images.clone()
    chosen = torch.rand(len(images), generator=generator) < 0.25
    quality = torch.randint(40, 96, (len(images),), generator=generator)
    for i in chosen.nonzero().flatten().tolist():
        _, buffer = cv2.imencode(".jpg", images[i].numpy(), [cv2.IMWRITE_JPEG_QUALITY, int(quality[i])])
        images[i] = torch.from_numpy(cv2.imdecode(buffer, cv2.IMREAD_COLOR))
    return images


def _place(signal: Tensor, size: int, generator: torch.Generator, shift: float) -> Tensor:
    num = len(signal)

    def uniform(limit: float) -> Tensor:
        return limit * (2 * torch.rand(num, generator=generator) - 1)

    angle, scale = uniform(0.07), 1 + uniform(shift)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack(
        [torch.stack([cos, -sin, uniform(2 * shift)], 1), torch.stack([sin, cos, uniform(2 * shift)], 1)], 1
    )
    grid = F.affine_grid(matrix, [num, 3, size, size], align_corners=False)
    return F.grid_sample(signal, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _light(signal: Tensor, generator: torch.Generator) -> Tensor:
    num = len(signal)
    gain = 1 + 0.06 * (2 * torch.rand(num, 3, 1, 1, generator=generator) - 1)
    gain = gain * (1 + 0.15 * (2 * torch.rand(num, 1, 1, 1, generator=generator) - 1))
    offset = 0.12 * (2 * torch.rand(num, 1, 1, 1, generator=generator) - 1)
    return signal * gain + offset


def _blur(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Blur half of the images by a binomial kernel, blended at random: the softness of a small generator."""
    num = len(signal)
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = F.pad(signal, (2, 2, 2, 2), mode="replicate")
    soft = F.conv2d(padded, kernel.view(1, 1, 1, 5).expand(3, 1, 1, 5), groups=3)
    soft = F.conv2d(soft, kernel.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3)
    weight = torch.rand(num, 1, 1, 1, generator=generator) * 1.2
    chosen = torch.rand(num, 1, 1, 1, generator=generator) < 0.5
    return torch.lerp(signal, soft, torch.where(chosen, weight.clamp(max=1), torch.zeros(())))
