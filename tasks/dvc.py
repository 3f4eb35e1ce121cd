"""The one place where DVC and its callers meet: run a stage, list the stages, say what is stale and why."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import yaml

GRACE_SECONDS = 15
PROGRESS_SECONDS = 10


def stages(file: Path = Path("dvc.yaml")) -> list[str]:
    """Return the names of the stages, in the order in which dvc.yaml lists them."""
    return list(yaml.safe_load(file.read_text())["stages"])


def reproduce(stage: str, log: Callable[[str], None] = print, folder: Path = Path()) -> None:
    """Bring a stage and what it depends on up to date; its output goes to `log`, line by line.

    Whatever ends this call early (a cancelled run, Ctrl-C) ends the stage's whole process group first.
    Raises RuntimeError when the stage fails.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", stage]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in progress_lines(process.stdout):
            log(line)
        code = process.wait()
    finally:
        _end_group(process)
    if code:
        raise RuntimeError(
            f"stage {stage}: dvc repro ended with exit code {code}; the reason stands in the lines above. "
            f"After mending it, the same command goes on where the stage stopped."
        )


def status() -> dict[str, list[str]]:
    """Return the stages that are not up to date, each with its reasons."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"dvc status failed: {done.stderr.strip().splitlines()[-1:] or 'no reason given'}")
    return {stage: list(_reasons(changes)) for stage, changes in json.loads(done.stdout).items()}


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


def _reasons(changes: list[object]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, str):
            yield change
        elif isinstance(change, dict):
            for kind, items in change.items():
                names = items if isinstance(items, dict) else {items: ""}
                yield f"{kind}: " + ", ".join(f"{name} {state}".strip() for name, state in names.items())


def _environment() -> dict[str, str]:
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
