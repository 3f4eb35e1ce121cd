"""The one place where DVC and its callers meet: run a stage, list the stages, say what is stale and why."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from filelock import FileLock

from mema.project import last_good, mending, process

WAIT_SECONDS = 1
KILLED = re.compile(r"exited with (-9|137)\b")


class StageKilled(RuntimeError):
    """A stage was ended by a signal, as when memory runs out: the same command goes on where it stopped."""


def reproduce(
    stage: str,
    log: Callable[[str], None] = print,
    folder: Path = Path(),
    *,
    pull: bool = False,
    timeout_seconds: float = float("inf"),
) -> None:
    """Bring a stage and what it depends on up to date; its output goes to `log`, line by line.

    With `pull`, missing inputs come from the remotes. Whatever ends this call early (a cancelled run, Ctrl-C) ends
    the stage's whole process group first. Raises StageKilled when a signal ended the stage, TimeoutError, or
    RuntimeError when it failed.
    """
    options = ["--pull", "--allow-missing"] if pull else []
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *options, stage]
    killed = False

    def watch(line: str) -> None:
        nonlocal killed
        killed = killed or KILLED.search(line) is not None
        log(line)

    with _alone(folder, log):
        for line in mending.mend(folder):
            log(line)
        before = last_good.look(folder)
        code = process.run(command, watch, folder, timeout_seconds)
        if code and not killed:  # a killed stage is run again
            for line in last_good.bring_back(before, folder):
                log(line)
    if code and killed:
        raise StageKilled(f"stage {stage}: was killed; if memory ran out (dmesg tells), lower its batch size")
    if code:
        raise RuntimeError(
            f"stage {stage}: dvc repro ended with exit code {code}; the reason stands in the lines above. "
            f"After mending it, the same command goes on where the stage stopped."
        )


@contextmanager
def _alone(folder: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Wait, and say for whom, until no other DVC works in this folder; its own `--wait-for-lock` gives up early."""
    (folder / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    for line in _others(folder):
        log(line)
    with FileLock(folder / ".dvc/tmp/mema.lock"):
        while list(_others(folder)):  # started by hand
            time.sleep(WAIT_SECONDS)
        yield


def _others(folder: Path) -> Iterator[str]:
    """Yield a line for each other DVC that works in this folder, and for which the next one will wait."""
    file = folder / ".dvc/tmp/rwlock"
    try:
        held, since = json.loads(file.read_text() or "{}"), file.stat().st_mtime
    except (OSError, ValueError):
        return
    holders = {
        info["pid"]: info["cmd"]
        for locks in held.values()
        for found in locks.values()
        for info in (found if isinstance(found, list) else [found])
    }
    for pid, command in sorted(holders.items()):
        if mending.is_alive(pid, since):
            yield f"process {pid} works in this folder (dvc {command.partition(' ')[2]}); this one waits for it"


def status() -> dict[str, list[str]]:
    """Return the stages that are not up to date, each with its reasons."""
    mending.mend()
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=process.environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"dvc status failed: {done.stderr.strip().splitlines()[-1:] or 'no reason given'}")
    return {stage: list(_reasons(changes)) for stage, changes in json.loads(done.stdout).items()}


def add(path: Path, remote: str) -> Path:
    """Version a folder that people made, and let its .dvc file name the remote; return that file.

    Raises RuntimeError when DVC refuses.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "add", "--quiet", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=process.environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"dvc add {path}: {done.stderr.strip().splitlines()[-1:] or 'no reason given'}")
    pointer = path.with_name(f"{path.name}.dvc")
    content = yaml.safe_load(pointer.read_text())
    content["outs"][0]["remote"] = remote
    temporary = pointer.with_name(f".{pointer.name}.tmp")
    temporary.write_text(yaml.safe_dump(content, sort_keys=False))
    temporary.replace(pointer)
    return pointer


def _reasons(changes: list[object]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, str):
            yield change
        elif isinstance(change, dict):
            for kind, items in change.items():
                names = items if isinstance(items, dict) else {items: ""}
                yield f"{kind}: " + ", ".join(f"{name} {state}".strip() for name, state in names.items())
