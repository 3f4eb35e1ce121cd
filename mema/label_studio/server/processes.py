"""Programs that go on after the command that started them: each has a log, and a file that says which it is."""

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from mema.label_studio.server.places import Places
from mema.runtime import durable

GRACE_SECONDS = 15
# A process keeps its start time; the clock of the machine may be set by fractions of a second.
SAME_START_SECONDS = 1.0


def running(places: Places, name: str) -> psutil.Process | None:
    """Return the process that the pid file means, or None: a number given to another process counts as none."""
    try:
        record = json.loads(places.pid(name).read_text())
        process = psutil.Process(int(record["pid"]))
        alike = abs(process.create_time() - float(record["started"])) < SAME_START_SECONDS
        return process if alike and process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def address(places: Places, name: str) -> str:
    """Return the address that the running program was started with; empty where none runs."""
    return json.loads(places.pid(name).read_text()).get("address", "") if running(places, name) else ""


def start(places: Places, name: str, command: Sequence[str | Path], environment: dict[str, str], address: str) -> None:
    """Start a program in a session of its own, so that Ctrl-C here does not reach it."""
    places.root.mkdir(parents=True, exist_ok=True)
    with places.log(name).open("ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    durable.write_json(places.pid(name), {"pid": process.pid, "started": started, "address": address})


def stop(places: Places, name: str, grace_seconds: float = GRACE_SECONDS) -> bool:
    """End the program and its children, politely, then for good; return whether there was one."""
    process = running(places, name)
    if process is None:
        places.pid(name).unlink(missing_ok=True)
        return False
    family = [process, *process.children(recursive=True)]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            with suppress(psutil.NoSuchProcess):
                end(member)
        family = _survivors(family, grace_seconds)
        if not family:
            break
    if family:
        raise RuntimeError(f"{name}: process {family[0].pid} does not end; end it by hand")
    places.pid(name).unlink(missing_ok=True)
    return True


def _survivors(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the end of all, at most some seconds; a zombie, which nobody may ever collect, has ended."""
    deadline = time.monotonic() + seconds
    while family := [member for member in family if _lives(member)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return family


def _lives(process: psutil.Process) -> bool:
    """A zombie counts as ended, but not before its last thread is gone: until then it holds its port."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            return True
        with suppress(psutil.TimeoutExpired):
            process.wait(0)
    except psutil.NoSuchProcess:
        pass
    return False


def last_lines(path: Path, count: int = 15) -> str:
    """Return the end of a log, for an error."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""
