"""A run over many files: a failure is a row of the quarantine and a count, and the run goes on."""

import csv
import errno
import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import typer
from tqdm import tqdm

from mema.hospital.audit.log import AuditError
from mema.hospital.audit.trail import Trail
from mema.hospital.places import SIDECAR, Job, Refused, Todo, picture_name
from mema.hospital.private import MAX_BYTES, read_regular, write_private
from mema.hospital.settings import ModelError
from mema.hospital.sidecar import SidecarError
from models.photos.rejection import Rejection
from models.reasons import known

QUARANTINE = "quarantine.csv"
HEADER = ("file", "reason", "detail")
ENDING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # the next file would fail of them as well
TOO_LONG = "with .png.mema the name is longer than this disk takes; rename the photo"
FORMULA = "=+-@|%"


@dataclass(frozen=True)
class Done:
    """What became of one file; `faces` is None where it had been finished before."""

    name: str
    faces: int | None = 0
    reason: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason:
            known(self.reason)


@dataclass
class Run:
    """What became of each file, how many were not begun, and what ended the run before them."""

    results: list[Done] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    not_begun: int = 0
    ended: str = ""

    def add(self, refused: Iterable[Refused]) -> None:
        """Take in what was turned away unread, but for files that have a reason already."""
        known = {result.name for result in self.results if result.reason}
        known |= {picture_name(name) for name in known}
        known |= {name + SIDECAR for name in known}
        self.results += [Done(name, 0, why, detail) for name, why, detail in refused if name not in known]


def run_jobs(todo: Todo, work: Callable[[Job], int | None], command: str, trail: Trail) -> Run:
    """Do one file after the other; what would fail for each of them (disk, log) ends the run, with its account."""
    run = Run(others=todo.others)
    run.add(todo.refused)
    bar = tqdm(todo.jobs, desc=command, unit=" files", disable=len(todo.jobs) < 2)
    for number, job in enumerate(bar):
        try:
            result = _attempt(job, work)
            if result.reason:
                trail.refused(command, _digest(job.source), result.reason)
            run.results.append(result)
        except (AuditError, ModelError, OSError, KeyboardInterrupt) as error:
            run.not_begun, run.ended = len(todo.jobs) - number, _why_ended(error)
            break
    bar.close()
    return run


def _attempt(job: Job, work: Callable[[Job], int | None]) -> Done:
    """Return what became of a file; raises what ends the run."""
    try:
        return Done(job.name, work(job))
    except Exception as error:
        if (why := why_failed(error)) is None:
            raise
        return Done(job.name, 0, *why)


def why_failed(error: Exception) -> tuple[str, str] | None:
    """Return the reason and the detail of what a file's bytes or its name make fail; None for what ends the run."""
    if isinstance(error, Rejection):
        return error.reason, error.detail
    if isinstance(error, SidecarError):
        return "sidecar_refused", str(error)
    if isinstance(error, (AuditError, ModelError)):
        return None
    if isinstance(error, OSError):
        if error.errno in ENDING:
            return None
        if error.errno == errno.ENAMETOOLONG:
            return "name_too_long", TOO_LONG
        return "file_error", error.strerror or type(error).__name__
    if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.STS_NO_MEM):
        return "too_large", "not enough memory for its pixels"
    # decoders and networks raise dozens of types, whose texts may hold a name
    return "unexpected_error", type(error).__name__


def _why_ended(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C"
    if isinstance(error, OSError):
        return f"{error.strerror}; make room and give the same command again"
    return str(error)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path, MAX_BYTES, "it")).hexdigest()
    except Rejection:
        return ""


def conclude(run: Run, done: str, folder: Path | None) -> int:
    """Print the summary, write or remove the quarantine in `folder`, return the exit code.

    For one file the reason is printed; for many they are counted, and names stay in the quarantine.
    """
    failed = [result for result in run.results if result.reason]
    typer.echo(_summary(run, failed, done), err=bool(failed))
    if folder is None:
        for result in failed:
            typer.echo(f"{result.reason}: {result.detail}" if result.detail else result.reason, err=True)
    elif failed:
        _write_quarantine(folder, failed)
    else:
        (folder / QUARANTINE).unlink(missing_ok=True)
    if run.ended:
        typer.echo(f"error: the run ended early: {run.ended}", err=True)
        return 2
    if not run.results:
        typer.echo("nothing to do: there is no such file in the folder", err=True)
    return int(bool(failed) or not run.results)


def _summary(run: Run, failed: Sequence[Done], done: str) -> str:
    before = sum(result.faces is None for result in run.results)
    made = [result.faces for result in run.results if not result.reason and result.faces is not None]
    line = f"{len(run.results)} files: {len(made)} {done}"
    line += f" ({sum(made)} faces)" if any(made) else ""
    line += f", {before} done before" if before else ""
    if failed:
        line += f", {len(failed)} failed: {_counts(Counter(result.reason for result in failed))}"
    line += f", {run.not_begun} not done" if run.not_begun else ""
    line += f"; beside them {run.others.total()} that are no photos: {_counts(run.others)}" if run.others else ""
    return line


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counter.items()))


def remove_earlier(out: Path) -> None:
    """Remove the quarantine that earlier versions wrote into the folder that leaves."""
    for name in (QUARANTINE, f"rekey-{QUARANTINE}"):
        path = out / name
        try:
            if read_regular(path, MAX_BYTES, "it").startswith(",".join(HEADER).encode()):
                path.unlink()
        except Rejection:
            continue


def _write_quarantine(folder: Path, failed: Sequence[Done]) -> None:
    rows = [(result.name, result.reason, result.detail) for result in failed]
    try:
        write_private(folder / QUARANTINE, table(HEADER, rows).encode(), folder, replace=True)
        typer.echo(f"which and why: {folder / QUARANTINE}", err=True)
    except OSError as error:
        typer.echo(f"which and why can't be written: {error.strerror}; see deid_files.reports", err=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV whose cells no spreadsheet takes for a formula."""
    text = io.StringIO()
    # quoted throughout: where commas are decimal, a spreadsheet parts a bare name at its semicolons
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows([_neutral(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def _neutral(cell: str) -> str:
    first = unicodedata.normalize("NFKC", cell).lstrip()[:1]
    return f"'{cell}" if cell[:1] in ("\t", "\r", "\n") or (first and first in FORMULA) else cell
