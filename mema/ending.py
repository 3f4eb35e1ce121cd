"""How every command ends: one line and exit code 2 for what a person can mend; a failed check or a fault is 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

FAILED, MISTAKE = 1, 2


@contextmanager
def ending(*, about_photos: bool = False) -> Iterator[None]:
    """Turn a mistake (ValueError, a plain RuntimeError, OSError) into its line; anything else is a fault.

    Where a command is `about_photos`, the system's words would name a patient's file and are left out.
    """
    try:
        yield
    except ValueError as error:
        _end(str(error))
    except RuntimeError as error:
        if about_photos or type(error) is not RuntimeError:  # its subclasses are bugs, Ctrl-C, or typer's own ends
            raise
        _end(str(error))
    except OSError as error:
        if about_photos:
            _end(f"{error.strerror or type(error).__name__} (IN, OUT or a folder of params.yaml)")
        _end(str(error) or type(error).__name__)


def _end(line: str) -> None:
    typer.echo(f"error: {line}", err=True)
    raise typer.Exit(MISTAKE) from None
