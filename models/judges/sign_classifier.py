"""The judge of Table 3: DINOv2 fine-tuned on MeMa's training split to name the disease a face shows."""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import Dinov2ForImageClassification

from models.diseases import DISEASES
from models.judges.balanced_batches import BalancedBatches
from models.judges.dinov2_weights import PREPROCESSOR, Normalisation, load_dinov2, write_preprocessor
from models.training.augmentation import augment, to_signal
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator

BATCH = 64


@dataclass(frozen=True, eq=False)
class Faces:
    """Aligned faces and what they show; row i of both belongs to image i."""

    images: UInt8[np.ndarray, "n s s 3"]  # RGB, at the network's size
    disease: Int[np.ndarray, " n"]  # index into DISEASES


@dataclass(frozen=True)
class FineTuning:
    """How DINOv2 is fine-tuned; `layer_decay` is the factor on the rate from each layer to the one below."""

    steps: int
    batch_size: int
    learning_rate: float  # of the head, and times layer_decay of the last layer
    layer_decay: float
    weight_decay: float
    label_smoothing: float
    check_every: int
    seed: int


class SignClassifier:
    """A fine-tuned DINOv2 in eval mode, on a GPU where there is one."""

    def __init__(self, network: Dinov2ForImageClassification, normalisation: Normalisation, size_px: int):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.requires_grad_(False).eval().to(self.device)  # type: ignore[arg-type]
        self.normalisation, self.size_px = normalisation, size_px

    @torch.no_grad()
    def predict(
        self, images: Sequence[UInt8[np.ndarray, "h w 3"]] | UInt8[np.ndarray, "n h w 3"]
    ) -> Float[np.ndarray, "n 8"]:
        """Return the probability of each of DISEASES for aligned RGB faces of any size."""
        parts = [np.zeros((0, len(DISEASES)), np.float32)]
        for start in range(0, len(images), BATCH):
            batch = np.stack([resized(image, self.size_px) for image in images[start : start + BATCH]])
            signal = to_signal(torch.from_numpy(batch).to(self.device), self.size_px)
            logits = self.network(self.normalisation(signal)).logits
            parts.append(F.softmax(logits.float(), dim=1).cpu().numpy())
        return np.concatenate(parts)


class _Best(nn.Module):
    """The weights that did best on `select` so far; a module, so that it travels in the checkpoint."""

    loss: Tensor
    step: Tensor

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.register_buffer("loss", torch.tensor(math.inf))
        self.register_buffer("step", torch.tensor(0))

    def offer(self, network: nn.Module, loss: float, step: int) -> None:
        if loss < self.loss:
            self.network.load_state_dict(network.state_dict())
            self.loss.fill_(loss)
            self.step.fill_(step)


def train_sign_classifier(
    pretrained: str, train: Faces, select: Faces, tuning: FineTuning, *, size_px: int, checkpoint: Path
) -> tuple[SignClassifier, dict[str, Any]]:
    """Fine-tune from `checkpoint` on where there is one; return the step that does best on `select`.

    Best is the lowest cross-entropy there, a mean over the diseases: on few images it tells steps apart
    where top-1 ties.
    """
    torch.manual_seed(tuning.seed)
    network, normalisation = load_dinov2(pretrained)
    check_size(size_px, network.config.to_dict()["patch_size"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).train()  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(groups(network, tuning), betas=(0.9, 0.98))
    best = _Best(network)
    first = load_checkpoint(checkpoint, optimizer, network=network, best=best)
    batches, labels = BalancedBatches(train.disease), torch.from_numpy(train.disease).to(device)
    bar = tqdm(range(first, tuning.steps), initial=first, total=tuning.steps, desc="sign classifier")
    for step in bar:
        generator = step_generator(tuning.seed, step)
        rows = batches.draw(tuning.batch_size, generator)
        faces = mirrored(augment(torch.from_numpy(train.images[rows.numpy()]), size_px, generator), generator)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            logits = network(normalisation(faces.to(device))).logits
        loss = F.cross_entropy(logits.float(), labels[rows], label_smoothing=tuning.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * cosine_rate(step, tuning.steps, warmup=tuning.steps // 10)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", select=f"{best.loss.item():.3f}", refresh=False)
        if (step + 1) % tuning.check_every == 0 or step + 1 == tuning.steps:
            best.offer(network, class_mean_loss(network, normalisation, select, size_px), step + 1)
            save_checkpoint(checkpoint, step + 1, optimizer, network=network, best=best)
    chosen = {"step": int(best.step), "of": tuning.steps, "select_loss": round(float(best.loss), 4)}
    return SignClassifier(best.network, normalisation, size_px), chosen  # type: ignore[arg-type]


def check_size(size_px: int, patch_px: int) -> None:
    """Raise ValueError where an image of this size is no whole number of patches."""
    if size_px % patch_px:
        raise ValueError(
            f"train_judges.classifier.image_size_px: {size_px} is no multiple of DINOv2's patch of {patch_px} px; "
            f"give {max(1, round(size_px / patch_px)) * patch_px}"
        )


def groups(network: Dinov2ForImageClassification, tuning: FineTuning) -> list[dict[str, Any]]:
    """Return the optimiser's groups by depth: the head learns fastest, the patch embedding slowest."""
    depth = int(network.config.num_hidden_layers)
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        words = name.split(".")
        if words[0] == "classifier":
            above = 0
        elif "layer" in words:
            above = depth - int(words[words.index("layer") + 1])
        else:
            above = 1 if "layernorm" in words else depth + 1
        found.setdefault((above, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters, "peak": tuning.learning_rate * tuning.layer_decay**above,
            "weight_decay": tuning.weight_decay if matrices else 0.0,
        }
        for (above, matrices), parameters in sorted(found.items(), key=lambda item: item[0])
    ]  # fmt: skip


def mirrored(faces: Float[Tensor, "b 3 h w"], generator: torch.Generator) -> Float[Tensor, "b 3 h w"]:
    """Return half of the faces mirrored: either eye may be ill."""
    chosen = torch.rand(len(faces), 1, 1, 1, generator=generator) < 0.5
    return torch.where(chosen, faces.flip(3), faces)


@torch.no_grad()
def class_mean_loss(
    network: Dinov2ForImageClassification, normalisation: Normalisation, faces: Faces, size_px: int
) -> float:
    """Return the cross-entropy on `faces` as they are, a mean over the diseases present."""
    network.eval()
    device, losses = next(network.parameters()).device, []
    for start in range(0, len(faces.images), BATCH):
        batch = torch.from_numpy(np.ascontiguousarray(faces.images[start : start + BATCH])).to(device)
        logits = network(normalisation(to_signal(batch, size_px))).logits.float()
        labels = torch.from_numpy(faces.disease[start : start + BATCH]).to(device)
        losses.append(F.cross_entropy(logits, labels, reduction="none").cpu().numpy())
    network.train()
    every = np.concatenate(losses)
    return float(np.mean([every[faces.disease == k].mean() for k in np.unique(faces.disease)]))


def resized(image: UInt8[np.ndarray, "h w 3"], size_px: int) -> UInt8[np.ndarray, "s s 3"]:
    """Return the image at size_px x size_px, by areas where it shrinks."""
    if image.shape[:2] == (size_px, size_px):
        return image
    shrinks = min(image.shape[:2]) > size_px
    return cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def save_sign_classifier(classifier: SignClassifier, folder: Path) -> None:
    """Write a folder that from_pretrained and `load_sign_classifier` read."""
    classifier.network.save_pretrained(folder)
    write_preprocessor(folder, classifier.size_px, classifier.normalisation)


def load_sign_classifier(folder: Path) -> SignClassifier:
    """Load what `save_sign_classifier` wrote; raises ValueError where it is missing or of other diseases."""
    if not (folder / PREPROCESSOR).is_file():
        raise ValueError(f"classifier: no {folder / PREPROCESSOR}; run the stage train_judges (dvc repro)")
    known = json.loads((folder / "config.json").read_text()).get("id2label", {})
    if list(known.values()) != list(DISEASES):
        raise ValueError(
            f"{folder}: knows {', '.join(known.values())}; wanted {', '.join(DISEASES)}; run train_judges again"
        )
    network, normalisation = load_dinov2(str(folder))
    size = json.loads((folder / PREPROCESSOR).read_text())["size"]["height"]
    return SignClassifier(network, normalisation, size)
