"""How every command ends: one line and exit code 2 for what a person can mend; a failed check or a fault is 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

FAILED, MISTAKE = 1, 2


@contextmanager
def ending() -> Iterator[None]:
    """Turn a mistake (ValueError, RuntimeError) into its line; the system's own errors would name a photo's file."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if isinstance(error, typer.Exit):  # which is a RuntimeError
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(MISTAKE) from None
    except OSError as error:
        typer.echo(f"error: {error.strerror or type(error).__name__} (a file or folder of the command)", err=True)
        raise typer.Exit(MISTAKE) from None
