"""How every stage's command line starts and ends: logs, options, and in one line what the user can mend."""

import errno
import os
import sys
from collections.abc import Callable
from types import ModuleType

import typer

from mema.runtime import durable, entry, logs, memory
from mema.runtime.store import SCRATCH

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def start(main: Callable[..., None], *, processes: bool = False) -> None:
    """Run `main` with the options of the command line; an error that its user can mend has no traceback.

    A launcher may start several `processes` of the stages that train together; of others one alone.
    """
    memory.keep_freed()
    try:
        logs.configure()
    except ValueError as error:
        sys.exit(str(error))
    try:
        if not processes and os.environ.get("WORLD_SIZE", "1") != "1":
            raise ValueError(f"{sys.argv[0]}: runs in one process; start it without a launcher")
        name = name_of(sys.modules["__main__"])
        durable.sweep(SCRATCH, name)
        held = entry.hold(name)
        _run(main)
        entry.check_unchanged(name, held)
    except (ValueError, ConnectionError) as error:
        logs.end(str(error))
    except Exception as error:
        if full := _full(error):
            logs.end(f"{full}: no space left (or over a quota); free some, then the same command goes on")
        if not logs.wants_json():
            raise
        logs.uncaught(type(error), error, error.__traceback__)
        sys.exit(1)


def _run(main: Callable[..., None]) -> None:
    """Run `main` with the options of the command line and come back where it succeeds."""
    try:
        typer.run(main)
    except SystemExit as ended:
        if ended.code:
            raise


def name_of(module: ModuleType) -> str:
    """Return the stage that `python -m tasks.<stage>` runs."""
    return module.__spec__.name.rpartition(".")[2] if module.__spec__ else ""


def _full(error: BaseException | None) -> str:
    """Return what had no room, where that is why `error` came; torch and safetensors hide the OSError."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return str(error.filename or "disk")
        if any(f"os error {number})" in str(error) for number in FULL):  # safetensors
            return "disk"
        error = error.__cause__ or error.__context__
    return ""
