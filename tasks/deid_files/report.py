"""The account of a run of `mema deid`, for the hospital alone: a table of all photos, and a page to look at."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.photos.every_face import Face
from models.photos.hiding import Plan
from models.photos.regions import Region
from tasks.deid_files.private import read_regular, write_private
from tasks.deid_files.report_page import HEAD, section

TABLE, PAGE = "report.csv", "report.html"
COLUMNS = (
    "file", "faces", "smallest_px", "largest_px", "turned", "detectors", "done", "similarity", "smallest_seen_px",
    "seconds", "reason", "detail",
)  # fmt: skip
MAX_BYTES = 1 << 28
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
        return 1 if self.reason else 2 if self.plan and self.plan.doubtful else 3

    def row(self, rehearsed: bool) -> dict[str, str]:
        """Return the cells, neutral for spreadsheets."""
        sides = [face.side_px for face in self.faces]
        cells = {
            "file": self.file,
            "faces": "" if self.done_before else str(len(self.faces)),
            "smallest_px": f"{min(sides):.0f}" if sides else "",
            "largest_px": f"{max(sides):.0f}" if sides else "",
            "turned": str(sum(face.turned for face in self.faces)) if sides else "",
            "detectors": " ".join(sorted({name for face in self.faces for name in face.detectors})),
            "done": self._done(rehearsed),
            "similarity": " ".join(f"{cosine:.3f}" for cosine in self.similarities),
            "smallest_seen_px": f"{self.smallest_seen_px:.0f}" if self.smallest_seen_px else "",
            "seconds": f"{self.seconds:.2f}",
            "reason": self.reason,
            "detail": self.detail,
        }
        return {name: neutral(cell) for name, cell in cells.items()}

    def _done(self, rehearsed: bool) -> str:
        if self.done_before:
            return "done before"
        if self.plan is None:
            return "nothing"
        what = f"{len(self.plan.places)} replaced, {len(self.plan.doubtful)} hidden whole"
        return f"would be: {what}" if rehearsed else f"turned away; {what}" if self.reason else what


def neutral(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


class Report:
    """Rows as the run goes on, each on disk before the next photo; the page at the end."""

    def __init__(self, folder: Path, rehearsed: bool = False) -> None:
        self.folder, self.rehearsed = folder, rehearsed
        self._rows = _rows(folder / TABLE)
        self._shown: list[tuple[int, str]] = []

    def add(self, account: Account) -> None:
        """Write the photo's row; one that was done before keeps the row that says how."""
        if not (account.done_before and neutral(account.file) in self._rows):
            row = account.row(self.rehearsed)
            self._rows[row["file"]] = row
            if len(self._shown) < MAX_SHOWN or account.urgency < 3:
                self._shown.append((account.urgency, _shown(account, row)))
            self._write()
        account.before = account.after = None

    def close(self) -> None:
        """Write the page."""
        shown = [section for _, section in sorted(self._shown, key=lambda pair: pair[0])[:MAX_SHOWN]]
        text = HEAD.format(shown=len(shown), rows=len(self._rows)) + "\n".join(shown) + "</body></html>\n"
        write_private(self.folder / PAGE, text.encode(), self.folder, replace=True)

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self._rows.values())
        write_private(self.folder / TABLE, text.getvalue().encode(), self.folder, replace=True)


def _shown(account: Account, row: dict[str, str]) -> str:
    doubtful = account.plan.doubtful if account.plan else []
    return section(row, account.before, account.after, account.faces, doubtful, account.left)


def _rows(table: Path) -> dict[str, dict[str, str]]:
    """Return the rows of an earlier run by file; those of another version are let go."""
    if not table.exists():
        return {}
    rows = list(csv.DictReader(io.StringIO(read_regular(table, MAX_BYTES, "report.csv").decode())))
    return {row["file"]: row for row in rows} if rows and tuple(rows[0]) == COLUMNS else {}
