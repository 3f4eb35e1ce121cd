"""A command that is killed at a random moment, or right before a random file operation of its own."""

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.deid_files.private import LOCK
from tests.tasks.deid_files.workspace import mema

OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.truncate")


@dataclass(frozen=True)
class Undisturbed:
    """What a command takes when nobody kills it."""

    seconds: float
    num_operations: int


def run(arguments: tuple[str, ...], kill_before: int = 0) -> tuple[int, int]:
    """Run a command in a child that has all modules already; return (its pid, the pipe that it reports to)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
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
    os.write(writer, f"{count} {result.exit_code} {result.output}".encode()[:4000])
    os._exit(0)


def finish(child: tuple[int, int]) -> tuple[int, int, str]:
    """Wait for a child; return its file operations, its exit code and what it said; -1 if it was killed."""
    pid, reader = child
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return 0, -1, ""
    count, code, output = said.split(" ", 2)
    return int(count), int(code), output


def measure(arguments: tuple[str, ...]) -> Undisturbed:
    """Run a command to its end."""
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
    os.kill(child[0], signal.SIGKILL)
    return finish(child)[1] == -1


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
