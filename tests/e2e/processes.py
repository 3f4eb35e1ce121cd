"""Servers and workers beside a test, each ended by its own pid, and ways to wait for them."""

import os
import random
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

START_SECONDS = 180  # for a server on a machine that runs other tests as well
T = TypeVar("T")


def free_port() -> int:
    """Return a port that stays free while no server has it: none that outgoing connections get."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("a hundred ports in use")


def prefect_environment(home: Path, root: Path, port: int) -> dict[str, str]:
    """Return the variables of a Prefect of one's own, and of flows that import the project from `root`.

    What a run says is read by tests, so its level is set, whatever the caller's is.
    """
    return {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_AUTH_STRING": f"mema:{secrets.token_urlsafe(24)}",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(root),
    }


@contextmanager
def running(
    command: list[str], folder: Path, environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside the test and end it, and it alone, by its own pid."""
    with log.open("ab") as sink:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=sink, stderr=sink)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(condition: Callable[[], T], what: str, seconds: float = 300, said: Callable[[], str] = lambda: "") -> T:
    """Ask until the answer is true, and return it; a busy server's errors are no answer."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(httpx.HTTPError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{said()[-6000:]}"
        time.sleep(0.1)


def wait_for(url: str, seconds: float = START_SECONDS) -> None:
    """Wait until a server answers well."""
    until(lambda: httpx.get(url, timeout=5).is_success, f"{url} answers", seconds)


def gone(pid: int) -> bool:
    """Tell whether a process has ended, though nobody may have asked for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
