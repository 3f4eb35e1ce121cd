"""phi of the losses: an ONNX recogniser in torch, frozen, differentiable with respect to the images."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from insightface.model_zoo import get_model
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.deid.onnx_graph import OnnxGraph
from models.identity.recogniser import Alignment, _template_eyes
from models.photos.alignment import LEFT_EYE, RIGHT_EYE

WARP_STEPS = 32  # OpenCV interpolates at 32nds of a pixel


class FaceEmbedder(nn.Module):
    """Aligned faces to the L2-normalised embeddings that `OnnxRecogniser` gives for the same pixels.

    `mean` and `std` are insightface's of the network's input, on pixels of 0 to 255.
    """

    def __init__(self, network: nn.Module, *, size: int, mean: float, std: float, alignment: Alignment) -> None:
        super().__init__()
        self.network, self.size, self.mean, self.std, self.alignment = network, size, mean, std, alignment
        self._maps: dict[tuple[int, torch.device], Tensor] = {}
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FaceEmbedder":
        """Stay in evaluation mode: the network is frozen."""
        return super().train(False)

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Return unit embeddings of RGB images in [-1, 1], any square size, aligned as by the ingest stages."""
        pixels = (self._chips(images.float()) + 1) * 127.5
        # recognisers are given whole numbers; their rounding passes gradients as if it were not there
        pixels = pixels + (pixels.round().clamp(0, 255) - pixels).detach()
        return F.normalize(self.network((pixels - self.mean) / self.std), dim=1)

    def _chips(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 c c"]:
        size = images.shape[-1]
        if images.shape[-2] != size:
            raise ValueError(f"images: {images.shape[-2]} x {size} px; give square aligned faces")
        if self.alignment == "frame":
            weights = self._cached(size, images.device, resize_weights)
            return weights @ images @ weights.mT
        grid = self._cached(size, images.device, template_grid)
        grid = grid.expand(len(images), -1, -1, -1)
        return F.grid_sample(images, grid, "bicubic", padding_mode="reflection", align_corners=True)

    def _cached(self, size: int, device: torch.device, build: Any) -> Tensor:
        if (size, device) not in self._maps:
            self._maps[size, device] = build(size, self.size).float().to(device)
        return self._maps[size, device]


def resize_weights(source: int, target: int) -> Float[Tensor, "t s"]:
    """Return the matrix of OpenCV's resize along one axis: INTER_AREA to shrink, else INTER_LINEAR."""
    scale = source / target
    if scale > 1:
        starts = torch.arange(target, dtype=torch.float64)[:, None] * scale
        places = torch.arange(source, dtype=torch.float64)[None]
        overlap = torch.minimum(starts + scale, places + 1) - torch.maximum(starts, places)
        return overlap.clamp(min=0) / scale
    centres = ((torch.arange(target, dtype=torch.float64) + 0.5) * scale - 0.5).clamp(0, source - 1)
    return (1 - (centres[:, None] - torch.arange(source)).abs()).clamp(min=0)


def template_grid(source: int, target: int) -> Float[Tensor, "1 t t 2"]:
    """Return where `models.identity.chip.chip` takes each pixel from, for `grid_sample` with aligned corners."""
    eyes = np.array([LEFT_EYE, RIGHT_EYE]) * source - 0.5
    wanted = _template_eyes(target) * target - 0.5
    turn = complex(*(eyes[1] - eyes[0])) / complex(*(wanted[1] - wanted[0]))
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    places = np.stack(np.meshgrid(np.arange(target), np.arange(target)), -1)
    sources = (places - wanted.mean(axis=0)) @ rotation.T + eyes.mean(axis=0)
    sources = np.round(sources * WARP_STEPS) / WARP_STEPS
    return torch.from_numpy(sources * 2 / (source - 1) - 1)[None]


def load_face_embedder(path: Path | str) -> FaceEmbedder:
    """Load an ONNX recogniser, aligned as its property `alignment` says (none: insightface's template)."""
    path = Path(path)
    if path.suffix != ".onnx" or not path.is_file():
        raise ValueError(f"loss recogniser: {path} is no ONNX file; train the twins (make twins) or name one")
    zoo: Any = get_model(str(path), providers=["CPUExecutionProvider"])
    if getattr(zoo, "taskname", "") != "recognition":
        raise ValueError(f"loss recogniser: {path} is no recogniser; its input must be N x 3 x 112 x 112 or more")
    model = onnx.load(path)
    try:
        network = OnnxGraph(model.graph)
    except ValueError as error:
        raise ValueError(f"loss recogniser: {path}: {error}") from error
    properties: dict[str, Any] = {p.key: p.value for p in model.metadata_props}
    return FaceEmbedder(
        network,
        size=int(zoo.input_size[0]),
        mean=zoo.input_mean,
        std=zoo.input_std,
        alignment=properties.get("alignment", "template"),
    )
