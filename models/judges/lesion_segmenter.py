"""The judge of the tumours' outlines: nnU-Net's architecture as MONAI's DynUNet (Isensee et al. 2021)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from monai.losses.dice import DiceCELoss
from monai.networks.nets.dynunet import DynUNet
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.judges.sign_classifier import resized
from models.segmentation.masks import dice, iou
from models.training.augmentation import augment_in_place, to_signal
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator

BATCH = 16
WEIGHTS = "model.safetensors"
TURN, STRETCH, SHIFT = 0.5, 0.25, 0.2  # rad, share of the scale, share of half the width


@dataclass(frozen=True, eq=False)
class OutlinedFaces:
    """Faces with a tumour and its outline; row i of both belongs to image i."""

    images: UInt8[np.ndarray, "n s s 3"]  # RGB, at the network's size
    masks: Bool[np.ndarray, "n s s"]


@dataclass(frozen=True)
class SegmenterTraining:
    """How the segmenter is trained; `filters` are the channels of each level, halving the size each time."""

    filters: tuple[int, ...]
    steps: int
    batch_size: int
    learning_rate: float
    seed: int


class LesionSegmenter:
    """A trained DynUNet in eval mode, on a GPU where there is one."""

    def __init__(self, network: DynUNet, size_px: int):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.requires_grad_(False).eval().to(self.device)
        self.size_px = size_px

    @torch.no_grad()
    def segment(self, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Bool[np.ndarray, "h w"]]:
        """Return the tumour of each RGB face at that face's size, the mean over the face and its mirror image."""
        masks: list[np.ndarray] = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            batch = torch.from_numpy(np.stack([resized(image, self.size_px) for image in part]))
            signal = to_signal(batch.to(self.device), self.size_px)
            share = F.softmax(self.network(signal), 1)[:, 1]
            share = share + F.softmax(self.network(signal.flip(3)), 1)[:, 1].flip(2)
            for image, one in zip(part, (share / 2).cpu().numpy(), strict=True):
                height, width = image.shape[:2]
                masks.append(cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)
        return masks


def lesion_unet(filters: tuple[int, ...]) -> DynUNet:
    """Return an untrained DynUNet as nnU-Net plans it in 2D: 3 x 3, stride 2, instance norm, leaky ReLU.

    Every level but the two lowest gives its own answer while it trains (deep supervision).
    """
    levels = len(filters)
    return DynUNet(
        spatial_dims=2, in_channels=3, out_channels=2, kernel_size=[3] * levels,
        strides=[1, *[2] * (levels - 1)], upsample_kernel_size=[2] * (levels - 1), filters=list(filters),
        norm_name=("INSTANCE", {"affine": True}), act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
        deep_supervision=levels > 3, deep_supr_num=max(1, levels - 3),
    )  # fmt: skip


def train_lesion_segmenter(
    train: OutlinedFaces, training: SegmenterTraining, *, checkpoint: Path, checkpoint_every: int = 50
) -> LesionSegmenter:
    """Train from `checkpoint` on where there is one; the last step's weights, since no split is there to choose by."""
    size_px = train.images.shape[1]
    check_size(size_px, training.filters)
    torch.manual_seed(training.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = lesion_unet(training.filters).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, weight_decay=1e-2)
    first, objective = load_checkpoint(checkpoint, optimizer, network=network), overlap_and_entropy()
    bar = tqdm(range(first, training.steps), initial=first, total=training.steps, desc="lesion segmenter")
    for step in bar:
        generator = step_generator(training.seed, step)
        rows = torch.randint(len(train.images), (training.batch_size,), generator=generator).numpy()
        faces = augment_in_place(torch.from_numpy(train.images[rows]), generator)
        faces, masks = placed(faces, torch.from_numpy(train.masks[rows]), generator)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            answers = network(faces.to(device))
        loss = deeply_supervised(answers.float(), masks.to(device), objective)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * cosine_rate(step, training.steps, warmup=training.steps // 20)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % checkpoint_every == 0 or step + 1 == training.steps:
            save_checkpoint(checkpoint, step + 1, optimizer, network=network)
    return LesionSegmenter(network, size_px)


def check_size(size_px: int, filters: tuple[int, ...]) -> None:
    """Raise ValueError where an image of this size cannot be halved so often."""
    factor = 2 ** (len(filters) - 1)
    if size_px % factor or size_px // factor < 4:
        raise ValueError(
            f"train_judges.segmenter.image_size_px: {size_px} for {len(filters)} levels; "
            f"give a multiple of {factor}, at least {4 * factor}, or fewer filters"
        )


def overlap_and_entropy() -> DiceCELoss:
    """Return nnU-Net's loss: soft Dice over the batch, without the background, plus cross-entropy."""
    return DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)


def deeply_supervised(
    answers: Float[Tensor, "b *heads 2 h w"], masks: Bool[Tensor, "b 1 h w"], objective: nn.Module
) -> Float[Tensor, ""]:
    """Return the loss over all heads; each coarser one counts half of the one before, together 1."""
    heads = [answers] if answers.ndim == 4 else list(answers.unbind(1))
    weights = [0.5**k for k in range(len(heads))]
    losses = [weight * objective(head, masks.float()) for weight, head in zip(weights, heads, strict=True)]
    return torch.stack(losses).sum() / sum(weights)


def placed(
    faces: Float[Tensor, "b 3 s s"], masks: Bool[Tensor, "b s s"], generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 s s"], Bool[Tensor, "b 1 s s"]]:
    """Turn, stretch, shift and mirror each face at random, and its mask with it."""
    num = len(faces)

    def uniform(limit: float) -> Tensor:
        return limit * (2 * torch.rand(num, generator=generator) - 1)

    angle, scale = uniform(TURN), torch.exp(uniform(STRETCH))
    side = torch.where(torch.rand(num, generator=generator) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([side * cos, -sin, uniform(SHIFT)], 1), torch.stack([side * sin, cos, uniform(SHIFT)], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(faces.shape), align_corners=False)
    moved = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    outline = F.grid_sample(masks[:, None].float(), grid, padding_mode="zeros", align_corners=False)
    return moved, outline > 0.5


def dice_and_jaccard(found: Bool[np.ndarray, "h w"], truth: Bool[np.ndarray, "h w"]) -> tuple[float, float]:
    """Return both overlaps; nan where there is nothing to find, as MONAI's metrics: take the mean by nanmean."""
    if found.shape != truth.shape:
        raise ValueError(f"mask: {found.shape} found for {truth.shape} px; give both at the same size")
    return (dice(found, truth), iou(found, truth)) if truth.any() else (float("nan"), float("nan"))


def save_lesion_segmenter(segmenter: LesionSegmenter, filters: tuple[int, ...], folder: Path) -> None:
    """Write weights and a config; `load_lesion_segmenter` reads them back."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.data.cpu() for name, value in weights(segmenter.network).items()}, folder / WEIGHTS)
    write_config(folder, {"filters": list(filters), "image_size_px": segmenter.size_px})


def weights(network: DynUNet) -> dict[str, nn.Parameter]:
    """Return each weight once: the state that DynUNet gives lists most blocks under two names."""
    return dict(network.named_parameters())


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json; {"reason": ...} alone says why there is no segmenter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_lesion_segmenter(folder: Path) -> LesionSegmenter | str:
    """Load what `save_lesion_segmenter` wrote, or return the reason why there is none."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"segmenter: no {path}; run the stage train_judges (dvc repro)")
    config = json.loads(path.read_text())
    if "reason" in config:
        return config["reason"]
    network = lesion_unet(tuple(config["filters"]))
    found, own = load_file(folder / WEIGHTS), weights(network)
    if found.keys() != own.keys():
        raise ValueError(f"{folder / WEIGHTS}: not the weights of config.json's network; run train_judges again")
    for name, value in found.items():
        own[name].data.copy_(value)
    return LesionSegmenter(network, config["image_size_px"])
