"""Which file becomes which: one pair for a file, one per photo for a folder; nothing is overwritten."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tasks import durable
from tasks.ingest import list_files

SIDECAR = ".mema"
QUARANTINE = "quarantine.csv"


@dataclass(frozen=True)
class Job:
    """A file to read, the file to write, and the name that the quarantine knows it by."""

    name: str
    source: Path
    out: Path


def sidecar_of(picture: Path) -> Path:
    """Return where the side-car of a de-identified picture is."""
    return picture.with_name(picture.name + SIDECAR)


def zone(reports: str, command: str, place: Path, out: Path | None = None) -> Path:
    """Return the folder for what names a run's files (quarantine, report): never OUT, which leaves the hospital.

    `reports` is deid_files.reports of params.yaml; empty, the folder lies beside `place`, IN or ORIGINAL. One
    folder an input and a command; its own name tells neither. Raises ValueError where it would lie within `out`.
    """
    whole = place.resolve()
    name = f"mema-{command}-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:12]}"
    folder = (Path(reports).resolve() if reports else whole.parent) / name
    if out is not None and folder.is_relative_to(out.resolve()):
        raise ValueError("deid_files.reports: lies within OUT, which leaves the hospital; name a folder outside")
    return folder


def photo_jobs(source: Path, out: Path) -> list[Job]:
    """Return what `mema deid` has to do; raises ValueError where a picture would land in the input."""
    if source.is_dir():
        _refuse_nested(source, out)
        jobs = [
            Job(name, path, out / path.relative_to(source).with_suffix(".png"))
            for name, path in list_files(source, "**/*").items()
            if not path.name.startswith(".")
        ]
        return _refuse_shared_outs(jobs)
    _refuse_missing(source)
    target = out / f"{source.stem}.png" if out.is_dir() else out
    if target.suffix.lower() != ".png":
        raise ValueError(f"OUT: {target.name} must end in .png: only a lossless picture keeps its pixels")
    return [Job(source.name, source, target)]


def picture_jobs(source: Path, target: Path, exact: bool) -> list[Job]:
    """Return what `mema restore` has to do: each picture that has a side-car; `exact` leaves suffixes open."""
    if source.is_dir():
        _refuse_nested(source, target)
        pictures = [path.with_name(path.name.removesuffix(SIDECAR)) for path in sidecars(source)]
        names = [path.relative_to(source) for path in pictures]
        return [Job(str(name), path, target / name) for name, path in zip(names, pictures, strict=True)]
    _refuse_missing(source)
    out = target / source.name if target.is_dir() else target
    if out.suffix.lower() != ".png" and not exact:
        raise ValueError(f"ORIGINAL: {out.name} must end in .png; --exact gives the sealed file as it was")
    return [Job(source.name, source, out)]


def sidecars(place: Path) -> list[Path]:
    """Return the side-cars below a folder, or that of one picture (or itself)."""
    if place.is_dir():
        found = list_files(place, f"**/*{SIDECAR}").values()
        return [path for path in found if not path.name.startswith(".")]
    path = place if place.suffix == SIDECAR else sidecar_of(place)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such side-car; name a de-identified picture or a folder")
    return [path]


def write_new(path: Path, data: bytes) -> None:
    """Write atomically and durably, after removing what a killed run left half-written of this file."""
    for stale in path.parent.glob(f".{_escaped(path.name)}.*.tmp"):
        stale.unlink(missing_ok=True)
    durable.write_bytes(path, data)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _refuse_missing(source: Path) -> None:
    if not source.exists():
        raise ValueError(f"{source}: there is no such file or folder")


def _refuse_nested(source: Path, out: Path) -> None:
    inner, outer = out.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"{out}: lies in {source}, or around it; name a folder beside it")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, but {source} is a folder; name a folder")


def _refuse_shared_outs(jobs: list[Job]) -> list[Job]:
    many = [str(out) for out, count in Counter(job.out for job in jobs).items() if count > 1]
    if many:
        raise ValueError(f"{many[0]}: {len(many)} such names are wanted by several photos; rename the photos")
    return jobs
