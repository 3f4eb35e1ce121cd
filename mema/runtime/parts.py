"""A shard's rows as they travel to a worker, the work done on them, and what happens when a worker dies."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

ATTEMPTS = 4  # that a part gets when the workers that hold it die
IN_FLIGHT = 2  # parts a worker has at once: one to work on, one that waits for it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One shard's rows, and the shard's number. Travels without the rest of the table that it is a slice of."""

    number: int
    rows: pa.Table

    def __reduce__(self) -> tuple[Any, ...]:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rows.schema) as writer:
            writer.write_table(self.rows)
        return _unpickled, (self.number, sink.getvalue())


def _unpickled(number: int, stream: pa.Buffer) -> Part:
    return Part(number, pa.ipc.open_stream(stream).read_all())


Job = Callable[[Part], None]
Load = Callable[[], Job]  # picklable; called once in each worker


def lost(part: Part, attempts: dict[int, int], stage: str) -> None:
    """Count that the worker of a part died; raises RuntimeError when that happened too often."""
    attempts[part.number] = attempts.get(part.number, 0) + 1
    log.warning("%s: the worker of shard %d died; the shard goes to another one", stage, part.number)
    if attempts[part.number] >= ATTEMPTS:
        raise RuntimeError(
            f"{stage}: shard {part.number} has cost {ATTEMPTS} workers; if memory ran out (dmesg tells), lower "
            f"{stage}.batch_size or MEMA_WORKERS, then the same command goes on"
        )
