"""The account of a run of `mema deid`, for the hospital alone: a table of all photos, and a page to look at."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import typer

from mema.hospital.outcome import table
from mema.hospital.places import Refused
from mema.hospital.private import MAX_BYTES, read_regular, write_private
from mema.hospital.report_page import HEAD, section
from models.concealing.hiding import Plan
from models.photos.every_face import Face
from models.photos.regions import Region
from models.photos.rejection import Rejection

TABLE, PAGE = "report.csv", "report.html"
COLUMNS = (
    "file", "faces", "smallest_px", "largest_px", "turned", "detectors", "done", "similarity", "smallest_seen_px",
    "seconds", "reason", "detail",
)  # fmt: skip
CALM = 3
MAX_SHOWN = 1000  # photos on the page, 100 kB each; the table has all


@dataclass
class Account:
    """What happened to one photo."""

    file: str
    faces: list[Face] = field(default_factory=list)
    plan: Plan | None = None
    similarities: list[float] = field(default_factory=list)
    left: list[Region] = field(default_factory=list)
    smallest_seen_px: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    detail: str = ""
    done_before: bool = False
    before: np.ndarray | None = field(default=None, repr=False)
    after: np.ndarray | None = field(default=None, repr=False)

    def see(self, rgb: np.ndarray) -> None:
        """Keep the photo until its row is written."""
        self.before = rgb

    def see_result(self, rgb: np.ndarray) -> None:
        """Keep the result likewise."""
        self.after = rgb

    @property
    def urgency(self) -> int:
        """Return the page's order: no face or a face left, then turned away, doubtful, all well."""
        if self.reason in ("no_face", "face_left", "still_recognisable"):
            return 0
        return 1 if self.reason else 2 if self.plan and self.plan.doubtful else CALM

    def row(self, dry_run: bool) -> dict[str, str]:
        """Return the cells by column."""
        sides = [face.side_px for face in self.faces]
        return {
            "file": self.file,
            "faces": "" if self.done_before else str(len(self.faces)),
            "smallest_px": f"{min(sides):.0f}" if sides else "",
            "largest_px": f"{max(sides):.0f}" if sides else "",
            "turned": str(sum(face.turned for face in self.faces)) if sides else "",
            "detectors": " ".join(sorted({name for face in self.faces for name in face.detectors})),
            "done": self._done(dry_run),
            "similarity": " ".join(f"{cosine:.3f}" for cosine in self.similarities),
            "smallest_seen_px": f"{self.smallest_seen_px:.0f}" if self.smallest_seen_px else "",
            "seconds": f"{self.seconds:.2f}",
            "reason": self.reason,
            "detail": self.detail,
        }

    def _done(self, dry_run: bool) -> str:
        if self.done_before:
            return "done before"
        if self.plan is None:
            return "nothing"
        what = f"{len(self.plan.places)} replaced, {len(self.plan.doubtful)} hidden whole"
        return f"would be: {what}" if dry_run else f"turned away; {what}" if self.reason else what


class Report:
    """Rows as the run goes on, each on disk before the next photo; the page when it ends, however that is."""

    def __init__(self, folder: Path, refused: Iterable[Refused] = (), dry_run: bool = False) -> None:
        self.folder, self._dry_run = folder, dry_run
        self._rows = _rows(folder / TABLE)
        self._shown: list[tuple[int, str]] = []
        self._smallest_px = 0.0
        for name, reason, detail in refused:
            self.add(Account(name, reason=reason, detail=detail))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the page, and say where the account is."""
        shown = [text for _, text in sorted(self._shown, key=lambda pair: pair[0])[:MAX_SHOWN]]
        head = HEAD.format(shown=len(shown), rows=len(self._rows))
        page = head + "\n".join(shown) + "</body></html>\n"
        write_private(self.folder / PAGE, page.encode(), self.folder, replace=True)
        if self._smallest_px:
            typer.echo(f"faces smaller than {self._smallest_px:.0f} px were not looked for", err=True)
        typer.echo(f"each photo's account, for the hospital alone: {self.folder / TABLE}, {PAGE}", err=True)

    def add(self, account: Account) -> None:
        """Write the photo's row; one that was done before keeps the row that says how."""
        self._smallest_px = max(self._smallest_px, account.smallest_seen_px)
        row = account.row(self._dry_run)
        if not (account.done_before and account.file in self._rows):
            self._rows[account.file] = row
            if len(self._shown) < MAX_SHOWN or account.urgency < CALM:
                self._shown.append((account.urgency, _shown(account, row)))
            rows = [list(cells.values()) for cells in self._rows.values()]
            write_private(self.folder / TABLE, table(COLUMNS, rows).encode(), self.folder, replace=True)
        account.before = account.after = None


def _shown(account: Account, row: dict[str, str]) -> str:
    doubtful = account.plan.doubtful if account.plan else []
    return section(row, account.before, account.after, account.faces, doubtful, account.left)


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of an earlier run by file; those of another version are let go."""
    if not os.path.lexists(path):
        return {}
    try:
        text = read_regular(path, MAX_BYTES, TABLE).decode()
        found = list(csv.DictReader(io.StringIO(text)))
    except (Rejection, ValueError, csv.Error):
        raise ValueError(f"{path}: is no table that this command wrote; move it away") from None
    if any(tuple(row) != COLUMNS or None in row.values() for row in found):
        return {}
    return {row["file"]: row for row in ({name: _plain(row[name]) for name in COLUMNS} for row in found)}


def _plain(cell: str) -> str:
    """Return a cell without the mark that mema.hospital.outcome.table puts before what looks like a formula."""
    return cell[1:] if cell[:1] == "'" else cell
