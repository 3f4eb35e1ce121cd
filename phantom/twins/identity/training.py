"""Training of one recogniser twin with a margin softmax, and its quality on people it never saw."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from models.computing.precision import fast_autocast
from models.identity.network import EMBEDDING_DIM, INPUT_PX, RecogniserNet
from models.training.augmentation import augment
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.identity.margins import MARGINS, class_cosines


def ramp(step: int, start: float, end: float, steps: int) -> float:
    """Return the margin of a step: linear from `start` to `end` over `steps`, then constant."""
    return start + (end - start) * min(1.0, step / steps)


def train_recogniser(
    network: RecogniserNet,
    images: UInt8[np.ndarray, "n h w 3"],
    identity: Int[np.ndarray, " n"],
    *,
    loss: str,
    margin: float,
    scale: float,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 100,
) -> None:
    """Train `network` in place to tell the identities apart, from `checkpoint` on where there is one.

    `loss` is a key of MARGINS. The margin grows from none over the first 60 % of the steps: full from the
    start, it keeps small networks at chance.
    """
    centres = nn.Embedding(int(identity.max()) + 1, EMBEDDING_DIM)
    nn.init.normal_(centres.weight, std=0.05, generator=step_generator(seed, -1))
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW([*network.parameters(), *centres.parameters()], lr=learning_rate, weight_decay=5e-2)
    first = load_checkpoint(checkpoint, optimizer, network=network, centres=centres)
    labels, none = torch.from_numpy(identity), 1.0 if loss == "sphereface" else 0.0
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=loss, mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        index = torch.randint(len(images), (batch_size,), generator=generator)
        faces = augment(torch.from_numpy(images[index.numpy()]), INPUT_PX, generator)
        with fast_autocast():
            embedding = network(faces.contiguous(memory_format=torch.channels_last))
        cosine = class_cosines(embedding.float(), centres.weight)
        logits = MARGINS[loss](cosine, labels[index], ramp(step, none, margin, int(0.6 * steps)), scale)
        objective = F.cross_entropy(logits, labels[index])
        optimizer.zero_grad()
        objective.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=50)
        optimizer.step()
        right = (cosine.argmax(1) == labels[index]).float().mean()
        bar.set_postfix(loss=f"{objective.item():.3f}", right=f"{right.item():.2f}", refresh=False)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, network=network, centres=centres)
    network.eval()


def pair_similarities(embeddings: np.ndarray, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of all pairs of photos of the same person, and of different people."""
    similarity = embeddings @ embeddings.T
    rows, columns = np.triu_indices(len(embeddings), k=1)
    same = identity[rows] == identity[columns]
    values = similarity[rows, columns]
    return values[same], values[~same]


def tar_at_fmr(genuine: np.ndarray, impostor: np.ndarray, fmr: float) -> float:
    """Return the share of genuine pairs above the threshold that at most `fmr` of impostor pairs exceed."""
    allowed = int(np.floor(fmr * len(impostor)))
    threshold = np.partition(impostor, len(impostor) - 1 - allowed)[len(impostor) - 1 - allowed]
    return float((genuine > threshold).mean())


def equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Return the error where as many genuine pairs are refused as impostor pairs are accepted."""
    thresholds = np.unique(np.quantile(np.concatenate([genuine, impostor]), np.linspace(0, 1, 20_001)))
    refused = np.searchsorted(np.sort(genuine), thresholds, side="right") / len(genuine)
    accepted = 1 - np.searchsorted(np.sort(impostor), thresholds, side="right") / len(impostor)
    best = np.argmin(np.abs(refused - accepted))
    return float((refused[best] + accepted[best]) / 2)
