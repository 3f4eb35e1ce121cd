"""A stage's parts on a Ray cluster: actors that hold the model, replaced when they or their nodes die."""

import logging
import os
import socket
import uuid
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from mema.runtime import memory, ray_access
from mema.runtime.entry import PACKAGES, ROOT
from mema.runtime.parts import IN_FLIGHT, Load, Part, lost

PROBE_SECONDS = 5
LOST = (ActorDiedError, ActorUnavailableError, ObjectLostError, OutOfMemoryError, WorkerCrashedError)


def run(load: Load, parts: Iterator[Part], count: int, workers: int, num_gpus: float, stage: str) -> Iterator[int]:
    """Work on `count` parts on the cluster of RAY_ADDRESS and yield each one's number when it is done.

    `workers` 0 takes as many actors as the cluster has room for. They stay until this process ends, so that its next
    work finds them warm. Raises ValueError where no cluster answers or none has room.
    """
    crew = _crew(num_gpus)
    try:
        yield from crew.run(load, parts, min(count, workers or _room(num_gpus)), stage)
    except BaseException:
        _crew.cache_clear()
        ray.shutdown()  # parts in flight must not go on
        raise


class Actor:
    """A process on some node that loads a work once and holds it until it is given another."""

    def __init__(self) -> None:
        memory.keep_freed()
        self._key, self._work = "", None

    def ready(self) -> None:
        """Answer, which only an actor that has found room can."""

    def do(self, key: str, load: Load, part: Part) -> None:
        """Do the work of that key on one part."""
        if key != self._key or self._work is None:
            self._key, self._work = key, load()
        self._work(part)


class _Crew:
    """The actors, what each of them has in flight, and who takes over when one dies."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._alive: set[Any] = set()
        self._flying: dict[Any, tuple[Any, Part]] = {}
        self._hired: dict[Any, Any] = {}  # actors by their answer to `ready`, while they have found no room
        self._free: deque[Any] = deque()  # an actor stands here once for each part that it can still take
        self._again: deque[Part] = deque()

    def run(self, load: Load, parts: Iterator[Part], size: int, stage: str) -> Iterator[int]:
        """Yield the numbers of finished parts."""
        key, shared, attempts = uuid.uuid4().hex, ray.put(load), {}
        while len(self._alive) < size:
            self._hire()
        part = next(parts, None)
        while part or self._flying:
            while part and self._free:
                worker = self._free.popleft()
                self._flying[worker.do.remote(key, shared, part)] = (worker, part)
                part = self._next(parts)
            (answer, *_), _ = ray.wait([*self._flying, *self._hired], num_returns=1)
            done = self._hear(answer, attempts, stage)
            if done is not None:
                yield done
            part = part or self._next(parts)

    def _next(self, parts: Iterator[Part]) -> Part | None:
        return self._again.popleft() if self._again else next(parts, None)

    def _hire(self) -> None:
        worker = self._actor.remote()
        self._alive.add(worker)
        self._hired[worker.ready.remote()] = worker

    def _hear(self, answer: Any, attempts: dict[int, int], stage: str) -> int | None:
        """Take an answer in; return the number of the part that it finished, if it did."""
        worker, part = self._flying.pop(answer, (self._hired.pop(answer, None), None))
        try:
            ray.get(answer)
        except LOST:
            self._bury(worker)
            if part is not None:
                lost(part, attempts, stage)
                self._again.append(part)
            return None
        except RayTaskError as error:
            raise error.cause from None  # as it would be raised here, without the cluster's own lines
        self._free.extend([worker] * (IN_FLIGHT if part is None else 1))
        return None if part is None else part.number

    def _bury(self, worker: Any) -> None:
        """Send a dead actor no more parts; another one takes over as soon as there is room."""
        if worker in self._alive:
            self._alive.remove(worker)
            self._free = deque(free for free in self._free if free != worker)
            self._hire()


@lru_cache(maxsize=1)
def _crew(num_gpus: float) -> _Crew:
    _connect()
    if not _room(num_gpus):
        raise ValueError(f"MEMA_NUM_GPUS: {num_gpus:g}, but no node of RAY_ADDRESS has as many; lower it or add nodes")
    return _Crew(ray.remote(num_cpus=1, num_gpus=num_gpus, max_restarts=0)(Actor))


def _connect() -> None:
    """Join the cluster; the code that runs there is this checkout's own, whatever the nodes have.

    Raises ValueError where no cluster answers, or strangers could use it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _probe(os.environ["RAY_ADDRESS"])
    except (OSError, ValueError) as error:
        raise _nobody(error) from None
    ray_access.require_closed(os.environ["RAY_ADDRESS"])
    try:
        ray.init(
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env={"py_modules": [str(ROOT / name) for name in PACKAGES]},
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise _nobody(error) from None


def _nobody(error: Exception) -> ValueError:
    return ValueError(
        f"RAY_ADDRESS: no cluster answers at {os.environ['RAY_ADDRESS']} ({type(error).__name__}); start one "
        "(RAY_AUTH_MODE=token ray start --head) or unset it"
    )


def _probe(address: str) -> None:
    """Raise OSError where nobody listens, which Ray itself finds out after minutes; "auto" names no place."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()


def _room(num_gpus: float) -> int:
    """Return how many actors the cluster has room for."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        min(int(node.get("CPU", 0)), int(node.get("GPU", 0) / num_gpus) if num_gpus else int(node.get("CPU", 0)))
        for node in nodes
    )
