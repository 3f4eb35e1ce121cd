"""Training of the age and gender twin."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.computing.precision import fast_autocast
from models.identity.network import INPUT_PX
from models.training.augmentation import augment
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.attributes.network import NUM_AGES, AttributeNet, expected_age

AGE_SPREAD_YEARS = 3.0


def age_distribution(age: Float[Tensor, " b"]) -> Float[Tensor, "b 101"]:
    """Return a normal distribution over the 101 ages around each true age (label distribution learning)."""
    ages = torch.arange(NUM_AGES, dtype=age.dtype)
    return F.softmax(-((ages - age[:, None]) ** 2) / (2 * AGE_SPREAD_YEARS**2), dim=1)


def attribute_loss(
    age_logits: Float[Tensor, "b 101"],
    gender_logits: Float[Tensor, "b 2"],
    age: Float[Tensor, " b"],
    gender: Int[Tensor, " b"],
) -> Float[Tensor, ""]:
    """Return the cross-entropies of age distribution and gender, and a tenth of the age's error in years."""
    error = (expected_age(age_logits) - age).abs().mean()
    return F.cross_entropy(age_logits, age_distribution(age)) + 0.1 * error + F.cross_entropy(gender_logits, gender)


def train_attributes(
    network: AttributeNet,
    images: UInt8[np.ndarray, "n h w 3"],
    age: Float[np.ndarray, " n"],
    gender: Int[np.ndarray, " n"],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 100,
) -> None:
    """Train `network` in place, from `checkpoint` on where there is one.

    `gender` is 0 for a woman and 1 for a man, `age` in years.
    """
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=5e-2)
    first = load_checkpoint(checkpoint, optimizer, network=network)
    ages, genders = torch.from_numpy(age), torch.from_numpy(gender)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="age and gender", mininterval=5)
    for step in bar:
        generator = step_generator(seed, step)
        torch.manual_seed(seed * 1_000_003 + step)  # dropout draws from the global state
        index = torch.randint(len(images), (batch_size,), generator=generator)
        faces = augment(torch.from_numpy(images[index.numpy()]), INPUT_PX, generator)
        with fast_autocast():
            age_logits, gender_logits = network(faces.contiguous(memory_format=torch.channels_last))
        loss = attribute_loss(age_logits.float(), gender_logits.float(), ages[index], genders[index])
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
