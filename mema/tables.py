"""Tables in a terminal: as wide as a log's 80 columns where there is no wider one, no word cut off."""

import shutil
from collections.abc import Iterable, Sequence

import typer

GAP = "  "
LOG_COLUMNS = 80


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns, or, where that is too wide, each row as lines of `column  value`."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    typer.echo(f"\n{title}")
    if sum(widths) + len(GAP) * (len(widths) - 1) <= shutil.get_terminal_size((LOG_COLUMNS, 24)).columns:
        for row in (columns, *rows):
            typer.echo(_line(row, widths))
        return
    name_width = max(map(len, columns[1:]))
    for row in rows:
        typer.echo(row[0])
        for column, cell in zip(columns[1:], row[1:], strict=True):
            typer.echo(f"{GAP}{column:{name_width}}{GAP}{cell}")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return names to the left, figures to the right."""
    cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return GAP.join([f"{row[0]:<{widths[0]}}", *cells]).rstrip()
