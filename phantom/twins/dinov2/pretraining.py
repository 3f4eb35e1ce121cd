"""DINOv2 at small size, taught by labels and by the CNN twin's feature map.

The published weights come from self-supervision on 142 million photographs (Oquab et al. 2023), whose small
networks are distilled from a large one by class and patch tokens. A minute's worth of phantoms cannot repeat
that. This stand-in is supervised: the patch tokens learn the features of the CNN that reads the signs of
phantoms, the class token learns who the person is, and both together learn the disease.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import Dinov2Config, Dinov2ForImageClassification, Dinov2Model

from models.judges.balanced_batches import BalancedBatches
from models.judges.dinov2_weights import LABELS
from models.judges.disease_classifier import BAND, SIZE_PX, DiseaseClassifier
from models.training.augmentation import augment, to_signal
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.generator.patch_pca import principal_components

PATCH_PX = 8  # the teacher's stride too: a patch token faces the place centred on its upper left corner
SIDE = SIZE_PX // PATCH_PX
NUM_BAND = (BAND.stop - BAND.start) // PATCH_PX * SIDE
OTHERS = 12  # patches outside the band that a step sees; all of them would cost as much again
WEIGHTS = {"disease": 1.0, "features": 1.0, "traits": 0.25}


@dataclass(frozen=True, eq=False)
class Lessons:
    """Faces with what is to be read from them; row i of every field belongs to image i."""

    images: UInt8[np.ndarray, "n h w 3"]
    disease: Int[np.ndarray, " n"]  # index into DISEASES
    traits: Float[np.ndarray, "n d"]  # who it is: identity, age, gender; each column of any scale


def twin_dinov2(num_layers: int, hidden_size: int, num_heads: int, mlp_ratio: int) -> Dinov2ForImageClassification:
    """Return an untrained twin for faces of SIZE_PX that attends to neighbours from the start.

    Positions are sines and cosines, keys equal queries (Trockman and Kolter 2023), and weights keep the
    variance of so narrow a network. From the library's 0.02 and random keys, 180 steps read no disease.
    """
    config = Dinov2Config(
        image_size=SIZE_PX, patch_size=PATCH_PX, hidden_size=hidden_size, num_hidden_layers=num_layers,
        num_attention_heads=num_heads, mlp_ratio=mlp_ratio,
        initializer_range=hidden_size**-0.5, **LABELS,
    )  # fmt: skip
    network = Dinov2ForImageClassification(config)
    with torch.no_grad():
        network.dinov2.embeddings.position_embeddings[0, 1:] = positions(SIDE, hidden_size)
        weights = dict(network.named_parameters())
        for name in [name for name in weights if name.endswith("k_proj.weight")]:
            weights[name].copy_(weights[name.replace("k_proj", "q_proj")])
    return network


def positions(side: int, width: int) -> Float[Tensor, "side*side width"]:
    """Return the sines and cosines of row and column at width / 4 frequencies, from a turn over the face on."""
    frequency = torch.exp2(torch.linspace(0, 3, width // 4)) * torch.pi / side
    turn = torch.arange(side)[:, None] * frequency
    wave = torch.cat([turn.sin(), turn.cos()], 1)
    grid = [wave[:, None].expand(side, side, -1), wave[None].expand(side, side, -1)]
    return torch.cat(grid, -1).reshape(side * side, -1)


@torch.no_grad()
def lay_in_patches(network: Dinov2ForImageClassification, images: UInt8[np.ndarray, "n h w 3"]) -> None:
    """Set the patch embedding to the principal components of the images' patches, each at about unit spread.

    Edges of lids and irises, weak beside colour, then count from the first step.
    """
    signal = to_signal(torch.from_numpy(np.ascontiguousarray(images)), SIZE_PX)
    patches = F.unfold(signal, PATCH_PX, stride=PATCH_PX).unflatten(2, (SIDE, SIDE))
    projection = network.dinov2.embeddings.patch_embeddings.projection
    num = min(projection.out_channels, patches.shape[1])
    components, mean, spread = principal_components(patches, torch.ones(patches.shape[2:]), num)
    rows = components / (spread[:, None] + 0.1)
    projection.weight[:num] = rows.view(num, 3, PATCH_PX, PATCH_PX).to(projection.weight)
    assert projection.bias is not None
    projection.bias[:num] = -(rows @ mean).to(projection.bias)


class _Heads(nn.Module):
    """What is read off the twin while it learns, and thrown away afterwards."""

    def __init__(self, width: int, teacher_width: int, num_traits: int):
        super().__init__()
        self.features, self.traits = nn.Linear(width, teacher_width), nn.Linear(width, num_traits)


def pretrain_dinov2(
    network: Dinov2ForImageClassification,
    teacher: DiseaseClassifier,
    lessons: Lessons,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 50,
) -> None:
    """Train `network` in place, each disease equally often, from `checkpoint` on where there is one."""
    torch.manual_seed(seed)
    heads = _Heads(network.config.hidden_size, teacher.widths[-1], lessons.traits.shape[1])
    parameters = [*network.train().parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=5e-2, betas=(0.9, 0.98))
    first = load_checkpoint(checkpoint, optimizer, network=network, heads=heads)
    batches, labels = BalancedBatches(lessons.disease), torch.from_numpy(lessons.disease)
    traits = standardised(torch.from_numpy(lessons.traits))
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="dinov2 twin", mininterval=10)
    for step in bar:
        generator = step_generator(seed, step)
        rows = batches.draw(batch_size, generator)
        faces = augment(torch.from_numpy(lessons.images[rows.numpy()]), SIZE_PX, generator)
        tokens = seen_tokens(network.dinov2, faces, generator)
        logits = network.classifier(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
        losses = {
            "disease": F.cross_entropy(logits, labels[rows], label_smoothing=0.05),
            "features": F.smooth_l1_loss(heads.features(tokens[:, 1 : 1 + NUM_BAND]), teacher_features(teacher, faces)),
            "traits": F.smooth_l1_loss(heads.traits(tokens[:, 0]), traits[rows]),
        }
        optimizer.zero_grad()
        torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=min(80, steps))
        optimizer.step()
        bar.set_postfix({name: f"{loss.item():.3f}" for name, loss in losses.items()}, refresh=False)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, network=network, heads=heads)
    network.eval()


def seen_tokens(
    backbone: Dinov2Model, faces: Float[Tensor, "b 3 96 96"], generator: torch.Generator
) -> Float[Tensor, "b k d"]:
    """Return the class token, the patches of the band that the teacher sees, and OTHERS at random."""
    first, last = BAND.start // PATCH_PX * SIDE, BAND.stop // PATCH_PX * SIDE
    outside = torch.cat([torch.arange(first), torch.arange(last, SIDE * SIDE)])
    others = outside[torch.randperm(len(outside), generator=generator)[:OTHERS]]
    seen = 1 + torch.cat([torch.tensor([-1]), torch.arange(first, last), others])
    tokens = backbone.encoder(backbone.embeddings(faces)[:, seen]).last_hidden_state
    return backbone.layernorm(tokens)


@torch.no_grad()
def teacher_features(teacher: DiseaseClassifier, faces: Float[Tensor, "b 3 96 96"]) -> Float[Tensor, "b p c"]:
    """Return the teacher's last feature map, place by place, each channel standardised over the batch."""
    return standardised(teacher.body(faces[:, :, BAND]).flatten(2).transpose(1, 2))


def standardised(x: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
    """Return each channel at mean 0 and variance 1 over all other axes; one that never varies stays 0."""
    dims = tuple(range(x.ndim - 1))
    return (x - x.mean(dims)) / (x.std(dims, correction=0) + 1e-6)
