"""What SAM's twin learns before any prompt: an encoder that can name the part under every pixel.

From scratch, prompts teach an encoder too little to see by: for hundreds of steps an empty mask is the best
answer. SAM's own encoder came from masked autoencoding.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange
from transformers import SamModel

from models.diseases import DISEASES, TUMOURS
from models.training.augmentation import augment_in_place
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.sam.phantom_scenes import PARTS, Scenes


def pretrain_encoder(
    model: SamModel,
    scenes: Scenes,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 50,
) -> None:
    """Train the encoder in place through a linear head on its embedding, or go on from `checkpoint`."""
    encoder, patch = model.vision_encoder, model.config.vision_config.patch_size
    head = nn.Conv2d(model.config.vision_config.output_channels, len(PARTS) * patch**2, 1)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=learning_rate)
    first = load_checkpoint(checkpoint, optimizer, encoder=encoder, head=head)
    encoder.train()
    for step in (bar := trange(first, steps, initial=first, total=steps, desc="encoder")):
        rng, generator = np.random.default_rng([seed, 1, step]), step_generator(seed, step)
        chosen = rng.choice(len(scenes.images), batch_size, replace=False)
        pixels = augment_in_place(torch.from_numpy(scenes.images[chosen]), generator)
        target, known = part_targets(scenes, chosen)
        logits = F.pixel_shuffle(head(encoder(pixels).last_hidden_state), patch)
        loss = part_loss(logits, target, known)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=50)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, encoder=encoder, head=head)


def part_targets(scenes: Scenes, chosen: np.ndarray) -> tuple[Float[Tensor, "b p h w"], Float[Tensor, "b p"]]:
    """Return which part lies under each pixel, and which parts are known of each scene.

    A sign that moves lids or iris leaves the eyes' parts unknown.
    """
    bits = scenes.parts[chosen][:, None] >> np.arange(len(PARTS), dtype=np.uint16)[None, :, None, None] & 1
    drawn = [k for k, name in enumerate(DISEASES) if name == "normal" or name in TUMOURS]
    known = np.ones((len(chosen), len(PARTS)), np.float32)
    known[~np.isin(scenes.disease[chosen], drawn), PARTS.index("mouth") + 1 :] = 0
    return torch.from_numpy(bits.astype(np.float32)), torch.from_numpy(known)


def part_loss(
    logits: Float[Tensor, "b p h w"], target: Float[Tensor, "b p h w"], known: Float[Tensor, "b p"]
) -> Float[Tensor, ""]:
    """Return cross-entropy plus dice over each part of the batch that is known."""
    weight = known[:, :, None, None]
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight
    share = torch.sigmoid(logits) * weight
    overlap, total = (share * target).sum((0, 2, 3)), (share + target * weight).sum((0, 2, 3))
    return 4 * entropy.mean() + (1 - (2 * overlap + 1) / (total + 1)).mean()
