"""Where parts of a stage are worked on: in this process, in several, or on a Ray cluster. Results never depend on it.

The environment decides, never params.yaml. RAY_ADDRESS: on that cluster. MEMA_WORKERS: how many at once, without a
cluster processes of this machine (default: this process itself), on a cluster actors (default: as many as fit).
MEMA_NUM_GPUS: how many GPUs each Ray actor holds (default 0; 0.5 puts two on one).
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from mema.runtime import logs, memory, parent
from mema.runtime.parts import IN_FLIGHT, Job, Load, Part, lost


def number_of(variable: str, default: float) -> float:
    """Return a positive number from the environment; raises ValueError naming the variable."""
    text = os.environ.get(variable, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError(f"{variable}: {text!r}; a number of 0 or more is allowed")
    return value


def run(load: Load, parts: Iterator[Part], count: int, stage: str) -> Iterator[int]:
    """Work on every one of `count` parts and yield its number when it is done, in whatever order.

    `parts` is drawn from only as fast as workers take them. A part whose worker dies goes to another one; an error
    of the work itself ends the run. Raises RuntimeError when a part has cost too many workers.
    """
    workers = int(number_of("MEMA_WORKERS", 0))
    if os.environ.get("RAY_ADDRESS"):
        try:
            from mema.runtime import cluster  # Ray is an optional extra
        except ModuleNotFoundError:
            raise ValueError("RAY_ADDRESS: Ray is not installed; pip install -e '.[ray]'") from None
        yield from cluster.run(load, parts, count, workers, number_of("MEMA_NUM_GPUS", 0), stage)
    elif min(workers, count) > 1:
        yield from _over_processes(load, parts, min(workers, count), stage)
    else:
        yield from _here(load, parts)


def _here(load: Load, parts: Iterator[Part]) -> Iterator[int]:
    work: Job | None = None
    for part in parts:
        work = work or load()  # nothing is loaded where nothing is left to do
        work(part)
        yield part.number


def _over_processes(load: Load, parts: Iterator[Part], workers: int, stage: str) -> Iterator[int]:
    """Spawned processes; when one is killed, all parts in flight start again in a new pool."""
    attempts: dict[int, int] = {}
    again: list[Part] = []
    flying: dict[Future[None], Part] = {}
    part = next(parts, None)
    while part or flying:
        held = (load, workers, os.getpid())
        with ProcessPoolExecutor(workers, get_context("spawn"), _hold, held) as pool:
            try:
                while part or flying:
                    while part and len(flying) < IN_FLIGHT * workers:
                        flying[pool.submit(_work_on, part)] = part
                        part = again.pop() if again else next(parts, None)
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        future.result()
                        yield flying.pop(future).number
            except BrokenProcessPool:
                for killed in flying.values():
                    lost(killed, attempts, stage)
                again += flying.values()
                flying.clear()
                part = part or again.pop()


_held: Any = None


def _hold(load: Load, workers: int, driver: int) -> None:
    global _held
    parent.end_with(driver)
    memory.keep_freed()
    logs.configure()
    _held = load()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _work_on(part: Part) -> None:
    _held(part)
