"""The results as Markdown, for Prefect's page: Tables 1, 2, 3 and 5 in short, and a sheet of synthetic images.

Figures are those of the metrics files, which hold nothing per patient; images come from what passed the screen.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mema.project import headline
from models.images import decode, tile
from models.report.pictures import jpeg_uri

COLUMNS, ROWS = 6, 3


def synthesize(data: Path = Path("data")) -> Iterator[str]:
    """Yield the lines of what the flow synthesize made; what has not been made yet is left out."""
    yield from _tables(data, "leakage", "distribution")
    if images := list(_synthetic(data / "selected", COLUMNS * ROWS)):
        yield "## Synthetic faces that passed the screen"
        yield f"![synthetic faces]({jpeg_uri(tile(np.stack(images), COLUMNS))})"


def deidentify(data: Path = Path("data")) -> Iterator[str]:
    """Yield the lines of what the flow deidentify made."""
    yield from _tables(data, "medical", "identity")


def _tables(data: Path, *metrics: str) -> Iterator[str]:
    """Yield the tables that these metrics give, as `mema table` prints them."""
    found = {
        name: headline.read(data / f"metrics/{name}.json") if name in metrics else None for name in headline.METRICS
    }
    for title, columns, rows in headline.tables(found):
        yield f"## {title.replace(', profile {profile}', '')}"
        yield from _table(columns, rows)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (columns, ("---",) * len(columns), *rows):
        yield "| " + " | ".join(row) + " |"
    yield ""


def _synthetic(selected: Path, num: int) -> Iterator[np.ndarray]:
    """Yield the first images of the selection, of equal size."""
    for file in sorted(selected.glob("*.parquet")):
        for data in pq.ParquetFile(file).read(columns=["image"])["image"].to_pylist():
            if num <= 0:
                return
            num -= 1
            yield decode(data)


# A flow shows what it made itself: metrics of other flows lie in git, of whatever run was committed last.
PAGES = {"synthesize": synthesize, "deidentify": deidentify}

if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in PAGES[sys.argv[1]]())
