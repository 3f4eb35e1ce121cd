"""A small classifier of the eight diseases from the eyes' band: the judge of whether signs are legible."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.computing.precision import fast_autocast
from models.diseases import DISEASES
from models.identity.network import Residual, downsample
from models.training.augmentation import augment, to_signal
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator

SIZE_PX = 96
BAND = slice(24, 72)  # rows of the 96 that hold brows, eyes and the skin around the lids
WIDTHS = (32, 48, 72, 96)
BATCH = 64


class DiseaseClassifier(nn.Module):
    """An aligned face of 96 px in [-1, 1], RGB, to logits over DISEASES."""

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        self.widths = widths
        first, second, third, fourth = widths
        self.body = nn.Sequential(
            downsample(3, first), Residual(first),
            downsample(first, second), Residual(second),
            downsample(second, third), Residual(third),
            nn.Conv2d(third, fourth, 3, padding=1, bias=False), nn.BatchNorm2d(fourth), nn.PReLU(fourth),
        )  # fmt: skip
        # A sign in one corner of the band counts as much as one everywhere.
        self.head = nn.Linear(2 * fourth, len(DISEASES))

    def forward(self, images: Float[Tensor, "b 3 96 96"]) -> Float[Tensor, "b 8"]:
        features = self.body(images[:, :, BAND])
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1))


def train_classifier(
    network: DiseaseClassifier,
    images: UInt8[np.ndarray, "n h w 3"],
    disease: Int[np.ndarray, " n"],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 100,
) -> None:
    """Train `network` in place, each disease equally often, from `checkpoint` on where there is one."""
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=5e-2)
    first = load_checkpoint(checkpoint, optimizer, network=network)
    rows = [torch.from_numpy(np.flatnonzero(disease == k)) for k in range(len(DISEASES))]
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="diseases", mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        labels = torch.randint(len(DISEASES), (batch_size,), generator=generator)
        place = torch.rand(batch_size, generator=generator)
        index = [rows[k][int(share * len(rows[k]))] for k, share in zip(labels.tolist(), place.tolist(), strict=True)]
        faces = augment(torch.from_numpy(images[torch.stack(index).numpy()]), SIZE_PX, generator)
        with fast_autocast():
            logits = network(faces.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=50)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, network=network)
    network.eval()


def save_classifier(network: DiseaseClassifier, folder: Path) -> None:
    """Write weights in half precision and a config; `load_classifier` reads them back."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "model.safetensors")
    config = {"diseases": list(DISEASES), "image_size_px": SIZE_PX, "widths": list(network.widths)}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_classifier(folder: Path) -> DiseaseClassifier:
    """Load what `save_classifier` wrote; raises ValueError where it is missing or of other diseases."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"classifier: no {path}; train the twins (make twins)")
    config = json.loads(path.read_text())
    if tuple(config["diseases"]) != DISEASES:
        raise ValueError(f"{path}: diseases {config['diseases']}; wanted {list(DISEASES)}; train the twins again")
    network = DiseaseClassifier(tuple(config["widths"]))
    network.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return network.eval()


@torch.no_grad()
def predict(
    network: DiseaseClassifier, images: Sequence[UInt8[np.ndarray, "h w 3"]] | UInt8[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, "n 8"]:
    """Return the probability of each of DISEASES for aligned RGB faces of any square size."""
    parts = [np.zeros((0, len(DISEASES)), np.float32)]
    for start in range(0, len(images), BATCH):
        batch = np.stack([_resized(image) for image in images[start : start + BATCH]])
        parts.append(F.softmax(network(to_signal(torch.from_numpy(batch), SIZE_PX)), dim=1).numpy())
    return np.concatenate(parts)


def _resized(image: np.ndarray) -> np.ndarray:
    if image.shape[0] == SIZE_PX:
        return image
    interpolation = cv2.INTER_AREA if image.shape[0] > SIZE_PX else cv2.INTER_LINEAR
    return cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=interpolation)
