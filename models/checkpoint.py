"""Atomic training checkpoints that resume exactly: weights, optimiser state and the step they belong to."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_checkpoint(path: Path, step: int, optimizer: torch.optim.Optimizer, **modules: nn.Module) -> None:
    """Write step, optimiser and modules under a temporary name, flush, rename."""
    state = {"step": step, "optimizer": optimizer.state_dict()}
    state |= {name: module.state_dict() for name, module in modules.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path, optimizer: torch.optim.Optimizer, **modules: nn.Module) -> int:
    """Load what `save_checkpoint` wrote and return the step to go on from; 0 where there is no checkpoint."""
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the CPU generator of one training step, so that a resumed run needs no saved random state."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def cosine_rate(step: int, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate: linear warm-up, then half a cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    progress = torch.tensor((step - warmup) / max(1, steps - warmup) * torch.pi)
    return float(0.02 + 0.49 * (1 + torch.cos(progress)))
