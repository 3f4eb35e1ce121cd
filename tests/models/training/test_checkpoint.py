from pathlib import Path

import pytest
import torch
from torch import nn

from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator


def _train(steps: range, model: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
    for step in steps:
        x = torch.randn(8, 4, generator=step_generator(3, step))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def _fresh() -> tuple[nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2)


def test_resumed_training_ends_with_the_same_bits(tmp_path: Path):
    whole, optimizer = _fresh()
    _train(range(10), whole, optimizer)
    part, optimizer = _fresh()
    _train(range(6), part, optimizer)
    save_checkpoint(tmp_path / "c.pt", 6, optimizer, model=part)
    resumed, optimizer = _fresh()
    first = load_checkpoint(tmp_path / "c.pt", optimizer, model=resumed)
    assert first == 6
    _train(range(first, 10), resumed, optimizer)
    assert torch.equal(whole.weight, resumed.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_no_checkpoint_means_the_first_step(tmp_path: Path):
    model, optimizer = _fresh()
    assert load_checkpoint(tmp_path / "none.pt", optimizer, model=model) == 0


@pytest.mark.parametrize(("step", "rate"), [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.51), (110, 0.02)])
def test_cosine_rate_by_hand(step: int, rate: float):
    assert cosine_rate(step, 110, warmup=10) == pytest.approx(rate, abs=1e-6)
