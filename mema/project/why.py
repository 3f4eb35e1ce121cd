"""`mema why FILE`: why a photo was turned away, read from the quarantines of this checkout and said in words.

It names photos and is meant for the hospital's own terminal: nothing of it is logged.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from models.reasons import REASONS, read_out

TABLES = (Path("data/patients/quarantine.parquet"), Path("data/public/quarantine.parquet"))
PATTERN = "quarantine*.csv"  # of `mema deid`, `restore` and `rekey`


@dataclass(frozen=True)
class Why:
    """One row of a quarantine."""

    file: str
    line: int | None  # of the table, where the row has one
    reason: str
    detail: str
    quarantine: Path

    def said(self) -> str:
        """Return the row in words."""
        where = f", line {self.line} of the table" if self.line else ""
        meaning = read_out(self.reason) if self.reason in REASONS else "a reason of an earlier version"
        return f"{self.file}{where}: {self.reason}\n  {meaning}\n  found: {self.detail or '-'}\n  in {self.quarantine}"


def why(name: str, reports: Path) -> list[Why]:
    """Return what was said of the files whose path holds `name`, in any case, or of all for an empty one."""
    return [row for row in (*_parquet(), *_csv(reports)) if name.casefold() in row.file.casefold()]


def _parquet() -> Iterator[Why]:
    for table in TABLES:
        if table.exists():
            for row in pq.ParquetFile(table).read().to_pylist():
                yield Why(row["file"] or "", row["line"], row["reason"], row["detail"] or "", table)


def _csv(reports: Path) -> Iterator[Why]:
    for file in sorted(reports.rglob(PATTERN)) if reports.is_dir() else ():
        with file.open(newline="") as stream:
            for row in csv.DictReader(stream):
                yield Why(row["file"], None, row["reason"], row["detail"], file)
