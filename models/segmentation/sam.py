"""SAM behind two calls: an image becomes an embedding once; an embedding and a prompt become masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from transformers import SamImageProcessorPil, SamModel


@dataclass(frozen=True)
class Prompt:
    """What a reader shows of one object, in px where 0 is the centre of the first: clicks, a box, or both."""

    points: tuple[tuple[float, float], ...] = ()
    positive: tuple[bool, ...] = ()  # one per point: on the object, or beside it
    box: tuple[float, float, float, float] | None = None  # left, top, right, bottom

    def __post_init__(self) -> None:
        if len(self.points) != len(self.positive):
            raise ValueError(f"positive: {len(self.positive)} flags for {len(self.points)} points; give one a point")
        if not self.points and self.box is None:
            raise ValueError("points, box: neither given; click on the object or draw a box around it")


@dataclass(frozen=True, eq=False)
class Proposal:
    """Masks for one prompt, best first by the network's own estimate of their IoU."""

    masks: Bool[np.ndarray, "k h w"]
    scores: Float[np.ndarray, " k"] = field(repr=False)

    @property
    def best(self) -> Bool[np.ndarray, "h w"]:
        """The mask that the network trusts most."""
        return self.masks[0]


class Sam:
    """A SamModel with its image processor, in eval mode, on a GPU where there is one."""

    def __init__(self, model: SamModel, processor: SamImageProcessorPil):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.requires_grad_(False).eval().to(self.device)
        self.processor = processor

    @torch.no_grad()
    def embed(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, "b c h w"]:
        """Return the images' embeddings in fp16 on the CPU; the whole cost of a click but the decoder."""
        pixels = self.processor(list(images), return_tensors="pt")["pixel_values"]
        return self.model.get_image_embeddings(pixels.to(self.device)).half().cpu()

    @torch.no_grad()
    def segment(self, embedding: Float[Tensor, "c h w"], size_px: tuple[int, int], prompt: Prompt) -> Proposal:
        """Return masks at the image's size, (height, width) px.

        A single click may mean a part or the whole, so three masks come back; more evidence gives one.
        """
        ambiguous = len(prompt.points) == 1 and prompt.box is None
        out = self.model(
            image_embeddings=embedding[None].to(self.device, torch.float32),
            multimask_output=ambiguous,
            **self._prompt_tensors(prompt, size_px),
        )
        scores = out.iou_scores[0, 0]
        order = scores.argsort(descending=True)
        logits = self._to_image(out.pred_masks[0, 0][order], size_px)
        return Proposal((logits > 0).cpu().numpy(), scores[order].float().cpu().numpy())

    def _scale(self, size_px: tuple[int, int]) -> float:
        return self.model.config.vision_config.image_size / max(size_px)

    def _prompt_tensors(self, prompt: Prompt, size_px: tuple[int, int]) -> dict[str, Tensor]:
        """Return the prompt as SamModel takes it: px of the network's input, one object of one image."""
        scale, tensors = self._scale(size_px), {}
        if prompt.points:
            points = (torch.tensor(prompt.points) + 0.5) * scale - 0.5
            tensors["input_points"] = points[None, None].float().to(self.device)
            tensors["input_labels"] = torch.tensor(prompt.positive).long()[None, None].to(self.device)
        if prompt.box is not None:
            box = (torch.tensor(prompt.box) + 0.5) * scale - 0.5
            tensors["input_boxes"] = box[None, None].float().to(self.device)
        return tensors

    def _to_image(self, logits: Float[Tensor, "k m n"], size_px: tuple[int, int]) -> Float[Tensor, "k h w"]:
        """Return the decoder's logits on the image's grid, without the padding of the network's input."""
        side, scale = self.model.config.vision_config.image_size, self._scale(size_px)
        rows, columns = (
            resampling(num, side, int(length * scale + 0.5), length).to(logits.device)
            for num, length in zip(logits.shape[1:], size_px, strict=True)
        )
        return rows @ logits @ columns.T


@lru_cache(maxsize=64)
def resampling(num: int, side: int, kept: int, length: int) -> Float[Tensor, "length num"]:
    """Return `num` samples to `side` px, of which the first `kept` to `length` px, bilinearly, as a matrix.

    Two small products take a quarter of the time of interpolating a picture twice.
    """
    enlarged = torch.nn.functional.interpolate(torch.eye(num)[None], side, mode="linear")
    return torch.nn.functional.interpolate(enlarged[..., :kept], length, mode="linear")[0].T.contiguous()


def load_sam(path: str) -> Sam:
    """Load a SAM checkpoint from a folder that `from_pretrained` reads, or by its name in the local hub cache."""
    try:
        model = SamModel.from_pretrained(path, local_files_only=True, dtype=torch.float32)
        processor = SamImageProcessorPil.from_pretrained(path, local_files_only=True)
    except OSError as error:
        raise ValueError(
            f"prelabel.sam: no checkpoint at {path!r}; give a folder, or download a hub name such as "
            f"facebook/sam-vit-base first (mema fetch). {str(error).splitlines()[0]}"
        ) from None
    return Sam(model, processor)
