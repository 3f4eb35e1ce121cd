"""A run over many files: a failure is a row of the quarantine and a count, and the run goes on."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import typer
from tqdm import tqdm

from models.deid.sidecar import SidecarError
from models.photos.rejection import Rejection
from tasks import durable
from tasks.deid_files.places import Job


@dataclass(frozen=True)
class Done:
    """What became of one file; `faces` is None where it had been finished before."""

    job: Job
    faces: int | None = 0
    reason: str = ""
    detail: str = ""


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], int | None], desc: str) -> list[Done]:
    """Do one file after the other; raises only what would fail for each of them (disk, log, model)."""
    return [_attempt(job, work) for job in tqdm(jobs, desc=desc, unit=" files", disable=len(jobs) < 2)]


def _attempt(job: Job, work: Callable[[Job], int | None]) -> Done:
    try:
        return Done(job, work(job))
    except Rejection as rejection:
        return Done(job, 0, rejection.reason, rejection.detail)
    except SidecarError as error:
        return Done(job, 0, "sidecar_refused", str(error))
    except (MemoryError, cv2.error) as error:
        return Done(job, 0, "too_large", f"{type(error).__name__}: not enough memory for its pixels")


def conclude(results: list[Done], done: str, quarantine: Path | None) -> int:
    """Print the summary, write or remove the quarantine, return the exit code.

    For one file the reason is printed; for many they are counted, and names stay in the quarantine.
    """
    failed = [result for result in results if result.reason]
    before = sum(result.faces is None for result in results)
    made = [result.faces for result in results if not result.reason and result.faces is not None]
    line = f"{len(results)} files: {len(made)} {done}"
    line += f" ({sum(made)} faces)" if any(made) else ""
    line += f", {before} done before" if before else ""
    if failed:
        reasons = Counter(result.reason for result in failed)
        line += f", {len(failed)} failed: " + ", ".join(f"{name} {n}" for name, n in sorted(reasons.items()))
    typer.echo(line, err=bool(failed))
    if quarantine is None:
        for result in failed:
            typer.echo(f"{result.reason}: {result.detail}" if result.detail else result.reason, err=True)
    elif failed:
        durable.write_text(quarantine, _table(failed))
        typer.echo(f"which and why: {quarantine}", err=True)
    else:
        quarantine.unlink(missing_ok=True)
    if not results:
        typer.echo("nothing to do: there is no such file in the folder", err=True)
    return int(bool(failed) or not results)


def _table(failed: list[Done]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("file", "reason", "detail"))
    writer.writerows((result.job.name, result.reason, result.detail) for result in failed)
    return text.getvalue()
