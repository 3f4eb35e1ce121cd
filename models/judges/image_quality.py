"""How like the original a recovered image is: PSNR, and a perceptual distance in the manner of LPIPS (Table 8).

LPIPS (Zhang et al. 2018) weighs the channels of a trunk's features by weights learnt from human judgements. The
published weights fit torchvision's networks only, and are not to be had here; so every distance of this module is
a STAND-IN: the same formula with all channels weighing the same (the paper's baseline "without linear
calibration"). Its values are comparable with each other, not with a published LPIPS.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from models.judges.disease_classifier import load_classifier

MAX_PSNR = 100.0  # of equal images, whose PSNR is infinite, which JSON cannot say
SQUEEZENET = "LPIPS formula, SqueezeNet 1.0 trunk (Deep Compression), uniform weights: a stand-in for LPIPS"
TWIN = "LPIPS formula, trunk of the phantom disease classifier, uniform weights: a stand-in for LPIPS"
CAFFE_MEAN_BGR = (104.0, 117.0, 123.0)
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
BATCH = 16
Images = UInt8[np.ndarray, "n h w 3"]


def psnr(original: Images, other: Images) -> Float[np.ndarray, " n"]:
    """Return each pair's peak signal-to-noise ratio in dB, peak 255; MAX_PSNR for equal images and beyond."""
    if original.shape != other.shape:
        raise ValueError(f"psnr: {original.shape} and {other.shape}; images must be of one size")
    error = np.square(original.astype(np.float64) - other.astype(np.float64)).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(255**2 / error), MAX_PSNR)


class Perceptual:
    """The LPIPS formula on the layers of one trunk; `name` says which, for the metrics."""

    def __init__(self, name: str, layers: Callable[[Tensor], list[Tensor]]) -> None:
        self.name, self._layers = name, layers

    @torch.no_grad()
    def distance(self, original: Images, other: Images) -> Float[np.ndarray, " n"]:
        """Return Zhang et al.'s Eq. 1 with w = 1: squared differences of unit features, summed over layers.

        Differences are summed over channels and averaged over positions; 0 for equal images.
        """
        if original.shape != other.shape:
            raise ValueError(f"lpips: {original.shape} and {other.shape}; images must be of one size")
        parts = [np.zeros(0)]
        for start in range(0, len(original), BATCH):
            first, second = (self._layers(_rgb(x[start : start + BATCH])) for x in (original, other))
            layers = [(_unit(a) - _unit(b)).square().sum(1).mean((1, 2)) for a, b in zip(first, second, strict=True)]
            parts.append(torch.stack(layers).sum(0).double().numpy())
        return np.concatenate(parts)


def load_perceptual(squeezenet: Path | None, classifier: Path | None) -> Perceptual:
    """Load SqueezeNet's trunk where its file is named, else the classifier twin's; raises ValueError without either."""
    if squeezenet is not None:
        if not squeezenet.is_file():
            raise ValueError(f"evaluate_reversibility.squeezenet: no file {squeezenet}; fetch it or leave it empty")
        trunk = SqueezeNet().eval()
        state = torch.load(squeezenet, map_location="cpu", weights_only=True)
        weights = {k.replace("/", "."): v.float() for k, v in state.items() if not k.startswith("conv10")}
        trunk.load_state_dict(weights)
        return Perceptual(SQUEEZENET, lambda rgb: trunk(caffe_input(rgb)))
    if classifier is None:
        raise ValueError("evaluate_reversibility: name squeezenet or classifier, so that there is a trunk")
    body = load_classifier(classifier).body
    return Perceptual(TWIN, lambda rgb: twin_layers(body, rgb))


class SqueezeNet(nn.Module):
    """SqueezeNet v1.0 in Caffe's layout (Iandola et al. 2016) without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        before = 96
        for index, (squeeze, expand) in FIRES.items():
            self.add_module(f"fire{index}", Fire(before, squeeze, expand))
            before = 2 * expand

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Return the features after conv1 and fires 3 to 9, for BGR minus Caffe's mean."""
        x = F.relu(self.conv1(images))
        kept = [x]
        x = _pool(x)
        for index in FIRES:
            x = self.get_submodule(f"fire{index}")(x)
            if index >= 3:
                kept.append(x)
            if index in (4, 8):
                x = _pool(x)
        return kept


class Fire(nn.Module):
    """A squeeze of 1 x 1 and two expansions side by side."""

    def __init__(self, before: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(before, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        x = F.relu(self.squeeze1x1(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def caffe_input(rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Return RGB of 0 to 255 as Caffe's networks take it: BGR minus the mean."""
    return rgb.flip(1) - torch.tensor(CAFFE_MEAN_BGR).view(1, 3, 1, 1)


def twin_layers(body: nn.Sequential, rgb: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
    """Return what leaves each residual block and the last layer, for RGB of 0 to 255."""
    x, kept = rgb / 127.5 - 1, []
    for index, layer in enumerate(body):
        x = layer(x)
        if index in (1, 3, 5, len(body) - 1):
            kept.append(x)
    return kept


def _rgb(images: np.ndarray) -> Float[Tensor, "b 3 h w"]:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def _unit(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2, ceil_mode=True)


def describe(perceptual: Perceptual) -> dict[str, Any]:
    """Return the note that goes beside every value."""
    return {"stand_in": perceptual.name}
