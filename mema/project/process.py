"""Runs a command as people would in a shell: its lines as they come, its whole process group ended at the end."""

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from mema.runtime import guard

PROGRESS_SECONDS = 10
ENDED_SECONDS = 5  # that a group killed for good is waited for


def run(
    command: Sequence[str],
    log: Callable[[str], None] = print,
    folder: Path = Path(),
    timeout_seconds: float = float("inf"),
) -> int:
    """Run `command`; its output goes to `log`, line by line. Return its exit code.

    Whatever ends this call early (a cancelled run, Ctrl-C, SIGKILL) ends the command's whole process group too.
    Raises TimeoutError when the command takes longer than `timeout_seconds`.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", guard.__file__, str(os.getpid()), *command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in progress_lines(process.stdout, deadline=time.monotonic() + timeout_seconds):
            log(line)
        return process.wait()
    except TimeoutError:
        raise TimeoutError(f"{command[-1]}: ended after {timeout_seconds / 3600:g} hours") from None
    finally:
        _end_group(process)


def module(name: str, *arguments: str, log: Callable[[str], None] = print) -> None:
    """Run `python -m name arguments`; raises RuntimeError when it fails."""
    if code := run([sys.executable, "-m", name, *arguments], log):
        raise RuntimeError(
            f"{' '.join((name, *arguments))} ended with exit code {code}; the reason stands in the lines above"
        )


def progress_lines(
    stream: IO[bytes], every_seconds: float = PROGRESS_SECONDS, deadline: float = float("inf")
) -> Iterator[str]:
    """Yield the lines of a stream as they come; of a progress bar's redrawings one every few seconds.

    Raises TimeoutError when `deadline`, by the monotonic clock, has come.
    """
    shown, rest = float("-inf"), b""
    for chunk in _chunks(stream, deadline):
        *parts, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
        for part in parts:
            text = part.decode(errors="replace").strip()
            redrawn = part.endswith(b"\r")
            if text and not (redrawn and time.monotonic() - shown < every_seconds):
                shown = time.monotonic() if redrawn else shown
                yield text
    if rest.strip():
        yield rest.decode(errors="replace").strip()


def _chunks(stream: IO[bytes], deadline: float) -> Iterator[bytes]:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if selector.select(min(left, 3600)):
                if not (chunk := os.read(stream.fileno(), 65536)):
                    return
                yield chunk


def environment() -> dict[str, str]:
    """The caller's environment, with this interpreter's `python` first, as stage commands expect."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}", "DVC_NO_ANALYTICS": "1"}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group: politely, then after some seconds for good."""
    for ending, seconds in ((signal.SIGTERM, guard.GRACE_SECONDS), (signal.SIGKILL, ENDED_SECONDS)):
        try:
            os.killpg(process.pid, ending)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + seconds
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
