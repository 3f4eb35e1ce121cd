"""Ray nodes on loopback addresses of this machine, each ended by its own process group."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import psutil

from tests.e2e.processes import START_SECONDS, free_port, until

HEAD = "127.0.0.2"


@dataclass
class Node:
    """A node that runs in the foreground of a process of its own."""

    process: subprocess.Popen[bytes]
    address: str

    def actors(self) -> list[psutil.Process]:
        """Return the actors that work on this node, the oldest first."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        found = [process for process in below if "ray::Actor" in _words(process)]
        return sorted(found, key=lambda process: process.pid)

    def kill(self) -> None:
        """End the node and everything on it at once, as a machine without power does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End the node politely, then for good."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.NoSuchProcess:
        return ""


def _start(folder: Path, host: str, options: list[str], num_cpus: int, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--block", f"--node-ip-address={host}",
        f"--num-cpus={num_cpus}", "--object-store-memory=100000000", "--disable-usage-stats", *options,
    ]  # fmt: skip
    with log.open("ab") as sink:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=sink, stderr=sink, start_new_session=True)


@contextmanager
def cluster(
    folder: Path, others: int = 1, num_cpus: int = 1, *, closed: bool = True
) -> Iterator[tuple[str, list[Node]]]:
    """Start a head and other nodes; yield the cluster's address and the nodes, the head first.

    Closed, they ask for a token, which this process and those that it starts have meanwhile.
    """
    folder.mkdir(exist_ok=True)
    with patch.dict(os.environ, token_of(folder) if closed else {"RAY_AUTH_MODE": "disabled"}):
        yield from _cluster(folder, others, num_cpus)


def token_of(folder: Path) -> dict[str, str]:
    """Return the variables of a token in a file of a folder, made if missing."""
    file = folder / "token"
    if not file.exists():
        file.touch(0o600)
        file.write_text(secrets.token_hex(32))
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}


def _cluster(folder: Path, others: int, num_cpus: int) -> Iterator[tuple[str, list[Node]]]:
    port, nodes = free_port(), []
    address = f"{HEAD}:{port}"
    try:
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}/ray"]
        nodes.append(Node(_start(folder, HEAD, head, num_cpus, folder / "head.log"), address))
        _wait_for(folder / "head.log")
        for number in range(others):
            host, log = f"127.0.0.{3 + number}", folder / f"node-{number}.log"
            nodes.append(Node(_start(folder, host, [f"--address={address}"], num_cpus, log), address))
            _wait_for(log)
        yield address, nodes
    finally:
        for node in reversed(nodes):
            node.stop()


def _wait_for(log: Path) -> None:
    def said() -> str:
        return log.read_text(errors="replace")

    until(lambda: "Ray runtime started" in said(), "the node starts", START_SECONDS, said)
