"""Atomic training checkpoints that resume exactly: weights, optimiser state, smoothed losses and their step."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def save_checkpoint(path: Path, step: int, optimizer: torch.optim.Optimizer, **modules: nn.Module) -> None:
    """Write step, optimiser and modules under a temporary name, flush, rename."""
    state = {"step": step, "optimizer": optimizer.state_dict()}
    state |= {name: module.state_dict() for name, module in modules.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # half of one would keep a full disk full


def load_checkpoint(path: Path, optimizer: torch.optim.Optimizer, **modules: nn.Module) -> int:
    """Load what `save_checkpoint` wrote and return the step to go on from; 0 where there is no checkpoint."""
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state[name])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


class RunningLosses(nn.Module):
    """Losses smoothed over about the last 50 steps; buffers, so that checkpoints keep them."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("totals", torch.zeros(len(names), dtype=torch.float64))
        self.register_buffer("asked", torch.zeros(len(names), dtype=torch.bool))
        self.register_buffer("weight", torch.zeros((), dtype=torch.float64))
        self.totals: Tensor
        self.asked: Tensor
        self.weight: Tensor

    def update(self, found: Mapping[str, float]) -> None:
        """Take in the losses of one step; a name that is left out counts as 0."""
        self.asked |= torch.tensor([name in found for name in self.names])
        values = [found.get(name, 0.0) for name in self.names]
        self.totals.mul_(0.98).add_(torch.tensor(values, dtype=torch.float64))
        self.weight.mul_(0.98).add_(1)

    def values(self) -> dict[str, float]:
        """Return the smoothed losses by name, without those that were never asked for."""
        means = (self.totals / self.weight).tolist()
        asked = self.asked.tolist()
        return {name: value for name, value, told in zip(self.names, means, asked, strict=True) if told}


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the CPU generator of one training step, so that a resumed run needs no saved random state."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def cosine_rate(step: int, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate: linear warm-up, then half a cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    progress = torch.tensor((step - warmup) / max(1, steps - warmup) * torch.pi)
    return float(0.02 + 0.49 * (1 + torch.cos(progress)))
