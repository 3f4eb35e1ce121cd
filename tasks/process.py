"""Runs a command as people would in a shell: its lines as they come, its whole process group ended at the end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

GRACE_SECONDS = 15
PROGRESS_SECONDS = 10


def run(command: Sequence[str], log: Callable[[str], None] = print, folder: Path = Path()) -> int:
    """Run `command`; its output goes to `log`, line by line. Return its exit code.

    Whatever ends this call early (a cancelled run, Ctrl-C) ends the command's whole process group first.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in progress_lines(process.stdout):
            log(line)
        return process.wait()
    finally:
        _end_group(process)


def module(name: str, *arguments: str, log: Callable[[str], None] = print) -> None:
    """Run `python -m name arguments`; raises RuntimeError when it fails."""
    if code := run([sys.executable, "-m", name, *arguments], log):
        raise RuntimeError(f"{name} ended with exit code {code}; the reason stands in the lines above")


def progress_lines(stream: IO[bytes], every_seconds: float = PROGRESS_SECONDS) -> Iterator[str]:
    """Yield the lines of a stream as they come; of a progress bar's redrawings one every few seconds."""
    shown, rest = float("-inf"), b""
    while chunk := os.read(stream.fileno(), 65536):
        *parts, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
        for part in parts:
            text = part.decode(errors="replace").strip()
            redrawn = part.endswith(b"\r")
            if text and not (redrawn and time.monotonic() - shown < every_seconds):
                shown = time.monotonic() if redrawn else shown
                yield text
    if rest.strip():
        yield rest.decode(errors="replace").strip()


def environment() -> dict[str, str]:
    """The caller's environment, with this interpreter's `python` first, as stage commands expect."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}", "DVC_NO_ANALYTICS": "1"}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group: politely, then after some seconds for good."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and _group_lives(process):
            time.sleep(0.05)
    process.wait()


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
