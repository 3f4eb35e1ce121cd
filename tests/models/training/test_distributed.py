"""What each process computes of a batch, and that one process alone sums nothing."""

import pytest
import torch
from torch import nn

from models.training.distributed import Group, group


def member(rank: int, num: int) -> Group:
    return Group(rank, num, torch.device("cpu"))


@pytest.mark.parametrize(("num", "micro"), [(1, ""), (2, "3"), (3, ""), (4, "1")])
def test_every_row_is_computed_once_and_few_enough_at_a_time(
    monkeypatch: pytest.MonkeyPatch, num: int, micro: str
) -> None:
    monkeypatch.setenv("MEMA_MICRO_BATCH", micro)
    parts = [part for rank in range(num) for part in member(rank, num).parts(12, "x.batch_size")]
    rows = torch.arange(12)
    assert torch.cat([rows[part] for part in parts]).tolist() == list(range(12))
    assert max(len(rows[part]) for part in parts) == min(12 // num, int(micro or 12))


def test_a_batch_that_cannot_be_shared_is_refused_with_a_remedy() -> None:
    said = r"train_lora\.batch_size: 16 rows .* by 3 processes; set MEMA_PROCESSES to a divisor of 16"
    with pytest.raises(ValueError, match=said):
        member(0, 3).share(16, "train_lora.batch_size")


@pytest.mark.parametrize("told", ["0", "-1", "half"])
def test_a_part_of_no_rows_is_refused(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("MEMA_MICRO_BATCH", told)
    with pytest.raises(ValueError, match=rf"MEMA_MICRO_BATCH: '{told}' is no number of rows; set 1 or more"):
        member(0, 1).parts(4, "x.batch_size")


def test_a_process_that_no_launcher_started_is_alone_and_keeps_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone, layer = group(), nn.Linear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    gradient = layer.weight.grad
    alone.sum_gradients(layer.parameters())
    assert (alone.rank, alone.num, alone.is_main) == (0, 1, True)
    assert layer.weight.grad is gradient
    assert alone.sum_losses({"a": 0.1}) == {"a": 0.1}
    assert not torch.distributed.is_initialized()
