"""The small residual networks of the recogniser twins, and the trunk they share with the attribute twin."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

INPUT_PX = 112
EMBEDDING_DIM = 128
Pooling = Literal["depthwise", "flatten"]


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.body(x)


def downsample(width_in: int, width: int) -> nn.Sequential:
    """Return a 3 x 3 convolution of stride 2 with its normalisation."""
    return nn.Sequential(
        nn.Conv2d(width_in, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
    )


def trunk(widths: tuple[int, int, int, int], depths: tuple[int, int, int]) -> nn.Sequential:
    """Return a network from 112 px to 7 x 7 features, with `depths` blocks on the last three levels."""
    stem, *levels = widths
    layers: list[nn.Module] = [downsample(3, stem)]
    for before, width, depth in zip(widths, levels, depths, strict=False):
        layers += [downsample(before, width), *(Residual(width) for _ in range(depth))]
    return nn.Sequential(*layers)


def embedding_head(width: int, pooling: Pooling, dim: int) -> nn.Sequential:
    """Return what turns 7 x 7 features into an embedding; positions are weighed, or kept in 24 channels."""
    pools: dict[str, list[nn.Module]] = {
        "depthwise": [nn.Conv2d(width, width, 7, groups=width, bias=False), nn.BatchNorm2d(width), nn.Flatten()],
        "flatten": [nn.Conv2d(width, 24, 1, bias=False), nn.BatchNorm2d(24), nn.Flatten()],
    }
    features = 24 * 49 if pooling == "flatten" else width
    return nn.Sequential(*pools[pooling], nn.Linear(features, dim, bias=False), nn.BatchNorm1d(dim))


class RecogniserNet(nn.Module):
    """A face of 112 px in [-1, 1], RGB, to an embedding whose direction tells who it is."""

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (24, 48, 88, 112),
        depths: tuple[int, int, int] = (1, 2, 1),
        pooling: Pooling = "depthwise",
        dim: int = EMBEDDING_DIM,
    ) -> None:
        super().__init__()
        self.trunk = trunk(widths, depths)
        self.head = embedding_head(widths[-1], pooling, dim)

    def forward(self, images: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b d"]:
        return self.head(self.trunk(images))


def build_recogniser(
    seed: int, widths: tuple[int, int, int, int], depths: tuple[int, int, int], pooling: Pooling
) -> RecogniserNet:
    """Return a freshly initialised network that depends on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecogniserNet(widths, depths, pooling)
