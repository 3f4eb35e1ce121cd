"""A command that is killed at a random moment, or right before a random file operation of its own."""

import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import cv2
import torch

from mema.hospital.private import LOCK
from tests.mema.hospital.workspace import mema

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [__name__, "models.deid.deidentifier", *(f"mema.hospital.{name}" for name in ("deid", "restore", "rekey"))]
)
OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.truncate")


@dataclass(frozen=True)
class Undisturbed:
    """What a command takes when nobody kills it."""

    seconds: float
    num_operations: int


@dataclass(frozen=True)
class Child:
    """A command at work, and where it reports to."""

    process: ForkServerProcess
    reader: Connection


def run(arguments: tuple[str, ...], kill_before: int = 0) -> Child:
    """Run a command in a child that has all modules already, of a server that has run none of them.

    A fork of this process would wait for ever for the threads that dlib or OpenCV began here.
    """
    reader, writer = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=_work, args=(arguments, kill_before, os.getcwd(), writer))
    process.start()
    writer.close()
    return Child(process, reader)


def _work(arguments: tuple[str, ...], kill_before: int, folder: str, writer: Connection) -> None:
    os.chdir(folder)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    count = 0

    def hook(event: str, given: tuple) -> None:
        nonlocal count
        if event not in OPERATIONS or not (count or str(given[0]).endswith(LOCK)):
            return
        count += 1
        if count == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    result = mema(*arguments)
    writer.send((count, result.exit_code, result.output))


def finish(child: Child) -> tuple[int, int, str]:
    """Wait for a child; return its file operations, its exit code and what it said; -1 if it was killed."""
    try:
        said = child.reader.recv()
    except EOFError:
        said = None
    child.process.join()
    if said is None or child.process.exitcode == -signal.SIGKILL:
        assert child.process.exitcode == -signal.SIGKILL
        return 0, -1, ""
    return said


def measure(arguments: tuple[str, ...]) -> Undisturbed:
    """Run a command to its end, with the server already up."""
    finish(run(("deid", "--help")))
    start = time.monotonic()
    count, code, output = finish(run(arguments))
    assert code == 0, output
    return Undisturbed(time.monotonic() - start, count)


def kill(arguments: tuple[str, ...], known: Undisturbed, generator: random.Random) -> bool:
    """Run a command and kill it; return whether it was killed before its end."""
    if generator.random() < 0.5:
        return finish(run(arguments, generator.randint(1, known.num_operations)))[1] == -1
    child = run(arguments)
    time.sleep(generator.uniform(0, known.seconds))
    child.process.kill()
    return finish(child)[1] == -1


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
