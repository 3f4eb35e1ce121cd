"""How a stage runs: logs on, what a killed run left swept, its code held, `main` with the options of its command."""

import os
import sys
from collections.abc import Callable

import typer

from mema.runtime import durable, entry, logs, memory
from mema.runtime.store import SCRATCH


def start(main: Callable[..., None], *, processes: bool = False) -> None:
    """Run `main`; an error that its user can mend has no traceback. A launcher may start several `processes` of it."""
    memory.keep_freed()
    try:
        logs.configure()
    except ValueError as error:
        sys.exit(str(error))
    try:
        if not processes and os.environ.get("WORLD_SIZE", "1") != "1":
            raise ValueError(f"{sys.argv[0]}: runs in one process; start it without a launcher")
        name = entry.name_of(sys.modules["__main__"])
        durable.sweep(SCRATCH, name)
        held = entry.hold(name)
        try:
            typer.run(main)
        except SystemExit as ended:
            if ended.code:
                raise
        entry.check_unchanged(name, held)
    except (ValueError, ConnectionError) as error:
        logs.end(str(error))
    except Exception as error:
        if full := durable.no_room(error):
            logs.end(f"{full}: no space left (or over a quota); free some, then the same command goes on")
        if not logs.wants_json():
            raise
        logs.uncaught(type(error), error, error.__traceback__)
        sys.exit(1)
