"""One training on several processes: each computes its rows of every batch, and gradients are summed over all.

Every process draws the whole batch from the step's generator and computes a part of its rows; losses are means over
rows, so each part counts by its share of the batch. Sums are rounded in another order than in one process: the same
weights within rounding, not bit for bit. One process sums nothing.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn

# Others wait while one encodes all photos; where one dies, the launcher ends them at once.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Group:
    """The processes that train together, seen from one of them; files are written by the main one alone."""

    rank: int
    num: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, batch_size: int, field: str) -> slice:
        """Return this process's rows of a batch; raises ValueError, naming `field`, where shares are not equal."""
        if batch_size % self.num:
            raise ValueError(
                f"{field}: {batch_size} rows cannot be shared equally by {self.num} processes; set "
                f"MEMA_PROCESSES to a divisor of {batch_size}"
            )
        rows = batch_size // self.num
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def parts(self, batch_size: int, field: str) -> list[slice]:
        """Return this process's share in parts of at most MEMA_MICRO_BATCH rows.

        A part is what is computed at once, so what has to fit the device's memory; raises ValueError as `share`.
        """
        share = self.share(batch_size, field)
        rows = micro_batch() or batch_size
        starts = range(share.start, share.stop, rows)
        return [slice(start, min(start + rows, share.stop)) for start in starts]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.num == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = _sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = total.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum_losses(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the sum of each process's share of the losses."""
        if self.num == 1:
            return dict(losses)
        total = _sum(torch.tensor(list(losses.values()), dtype=torch.float64, device=self.device))
        return dict(zip(losses, total.tolist(), strict=True))

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.num > 1:
            PartialState().wait_for_everyone()


def group() -> Group:
    """Return the group in which `accelerate launch` or torchrun started this process, else itself alone.

    Raises ValueError where another number of processes came together than was started.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    gpu = torch.cuda.is_available()
    if started == 1:
        return Group(0, 1, torch.device("cuda" if gpu else "cpu"))
    state = PartialState(cpu=not gpu, timeout=PATIENCE)
    if state.num_processes != started:
        raise ValueError(
            f"WORLD_SIZE: {started} processes were started and {state.num_processes} came together; "
            "start the stage with MEMA_PROCESSES, which chooses the launcher that works here"
        )
    return Group(state.process_index, started, state.device or torch.device("cpu"))


def leave() -> None:
    """End this process's part in its group, where there is one, once all work is done."""
    if torch.distributed.is_initialized():
        PartialState().destroy_process_group()


def micro_batch() -> int | None:
    """Return MEMA_MICRO_BATCH, the rows that fit a device's memory; None where all do."""
    told = os.environ.get("MEMA_MICRO_BATCH", "")
    if told and not (told.isdecimal() and int(told) > 0):
        raise ValueError(f"MEMA_MICRO_BATCH: {told!r} is no number of rows; set 1 or more, or unset it")
    return int(told) if told else None


def _sum(tensor: Tensor) -> Tensor:
    return cast(Tensor, reduce(tensor, "sum"))
