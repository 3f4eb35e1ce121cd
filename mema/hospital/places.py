"""Which file becomes which, and what has lost its other half; nothing is overwritten, nothing leaves OUT."""

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mema.hospital.private import LOCK, TEMPORARY
from models.photos.listing import Listing, list_folder, name_of

PICTURE, SIDECAR = ".png", ".mema"
PHOTO_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".dib"),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jxl", ".dcm", ".dng", ".cr2", ".cr3", ".nef", ".arw"),
    "",
}
Refused = tuple[str, str, str]  # name, reason, detail
LOST_SIDECAR = ("no_sidecar", "a picture without its side-car: nothing brings the photo back; find the side-car")
LOST_PICTURE = (
    "sidecar_without_picture",
    "the picture of this side-car is gone: put it back, or de-identify the same photo into the same OUT",
)


@dataclass(frozen=True)
class Job:
    """A file to read, the file to write, the folder that nothing may leave, and the name for the quarantine."""

    name: str
    source: Path
    out: Path
    root: Path


@dataclass
class Todo:
    """What a run has to do, what it turns away unread, and how many files of which kind are no photos."""

    jobs: list[Job]
    refused: list[Refused] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def sidecar_of(picture: Path) -> Path:
    """Return where the side-car of a de-identified picture is."""
    return picture.with_name(picture.name + SIDECAR)


def picture_name(photo: str) -> str:
    """Return the name of a photo's picture: another one for each photo, and its ending can still be read."""
    return photo + PICTURE


def photo_name(picture: str, sealed: str, suffix: str) -> str:
    """Return the name of a picture's photo: as it was, unless the picture was renamed since.

    `sealed` is empty in side-cars of earlier versions, whose pictures had lost the photo's `suffix`.
    """
    if sealed and picture == picture_name(sealed) and Path(sealed).name == sealed:
        return sealed
    stem = picture.removesuffix(PICTURE)
    return stem if sealed and Path(stem).suffix.lower() == suffix else stem + suffix


def zone(reports: str, command: str, place: Path, out: Path | None = None) -> Path:
    """Return the folder for what names a run's files (quarantine, report): never OUT, which leaves the hospital.

    `reports` is deid_files.reports of params.yaml; empty, the folder lies beside `place`, IN or ORIGINAL. One
    folder an input and a command; its own name tells neither. Raises ValueError where it would lie within `out`.
    """
    whole = place.resolve()
    name = f"mema-{command}-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:12]}"
    folder = ((Path(reports).resolve() if reports else whole.parent) / name).resolve()
    if out is not None and folder.is_relative_to(out.resolve()):
        raise ValueError("deid_files.reports: lies within OUT, which leaves the hospital; name a folder outside")
    return folder


def refuse_within(out: Path, secrets: dict[str, Path | None]) -> None:
    """Raise ValueError where a secret (by its option or setting) lies within OUT; None: there is none."""
    for name, path in secrets.items():
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise ValueError(f"{name}: lies within OUT, which leaves the hospital; move it, or name another")


def leaving(source: Path, out: Path) -> Path | None:
    """Return the folder that leaves the hospital: OUT, or that of a single picture if it is nobody's place of work.

    The photo's own folder and the present one hold more than what leaves.
    """
    if source.is_dir():
        return out
    folder = (out if out.is_dir() else out.parent).resolve()
    return None if any(place.resolve().is_relative_to(folder) for place in (source, Path())) else folder


def photo_jobs(source: Path, out: Path) -> Todo:
    """Return what `mema deid` has to do; raises ValueError where a picture would land in the input."""
    if source.is_dir():
        _refuse_nested(source, out, "OUT", "IN")
        listing = list_folder(source)
        todo = _todo(listing)
        for name, path in listing.photos.items():
            inner = path.relative_to(source)
            todo.jobs.append(Job(name, path, out / inner.with_name(picture_name(inner.name)), out))
        return todo
    _refuse_missing(source, "IN")
    target = out / picture_name(source.name) if out.is_dir() else out
    if target.suffix.lower() != PICTURE:
        raise ValueError("OUT: must end in .png: only a lossless picture keeps its pixels")
    return Todo([Job(name_of(source.name), source, target, target.parent)])


def picture_jobs(source: Path, target: Path, exact: bool) -> Todo:
    """Return what `mema restore` has to do, and each half of a pair whose other half is lost.

    With `exact` the name of what is written is found when the side-car is open.
    """
    if source.is_dir():
        _refuse_nested(source, target, "ORIGINAL", "OUT")
        pairs = _pairs(source)
        todo = pairs.todo
        todo.refused += pairs.halves()
        for name in sorted(pairs.pictures.keys() & pairs.sidecars.keys()):
            picture = pairs.pictures[name]
            todo.jobs.append(Job(name, picture, target / picture.relative_to(source), target))
        return todo
    source = source.with_suffix("") if source.suffix == SIDECAR else source
    _refuse_missing(source, "OUT")
    out = target / source.name if target.is_dir() else target
    if out.suffix.lower() != PICTURE and not exact:
        raise ValueError("ORIGINAL: must end in .png; --exact gives the sealed file as it was")
    return Todo([Job(source.name, source, out, out.parent)])


def sidecar_jobs(place: Path) -> Todo:
    """Return what `mema rekey` has to do: the side-cars below a folder, or that of one picture (or itself)."""
    if place.is_dir():
        pairs = _pairs(place)
        pairs.todo.refused += pairs.halves()
        found = sorted(pairs.sidecars.items())
        pairs.todo.jobs += [Job(name + SIDECAR, path, path, place) for name, path in found]
        return pairs.todo
    path = place if place.suffix == SIDECAR else sidecar_of(place)
    if not os.path.lexists(path):
        raise ValueError("OUT: there is no such side-car; name a de-identified picture or a folder")
    return Todo([Job(path.name, path, path, path.parent)])


def halves(out: Path) -> list[Refused]:
    """Return the pictures and side-cars below a folder whose other half is lost."""
    return _pairs(out).halves() if out.is_dir() else []


@dataclass
class _Pairs:
    """Pictures and side-cars of a folder, by the picture's name; `known` has what was refused, too."""

    pictures: dict[str, Path]
    sidecars: dict[str, Path]
    known: set[str]
    todo: Todo

    def halves(self) -> list[Refused]:
        lost = [(name, *LOST_SIDECAR) for name in self.pictures if name + SIDECAR not in self.known]
        return sorted(lost + [(name + SIDECAR, *LOST_PICTURE) for name in self.sidecars if name not in self.known])


def _pairs(folder: Path) -> _Pairs:
    listing = list_folder(folder)
    names = [*listing.photos, *listing.others]
    ours = [name for name in names if _is_ours(name)]
    pictures = {name: folder / path_of(name) for name in names if name.lower().endswith(PICTURE)}
    sidecars = {name.removesuffix(SIDECAR): folder / path_of(name) for name in names if name.endswith(SIDECAR)}
    todo = Todo([], [(name, *why) for name, why in listing.refused.items()])
    beside = len(names) - len(ours) - len(pictures) - len(sidecars)
    todo.others.update({"other": beside} if beside else {})
    return _Pairs(pictures, sidecars, {*names, *listing.refused}, todo)


def _todo(listing: Listing) -> Todo:
    """Return the todo of a folder of photos, without its jobs; a photo of no bytes is lost, not a companion."""
    todo = Todo([], [(name, *why) for name, why in listing.refused.items()])
    for name, kind in listing.others.items():
        todo.others[kind] += 1
        if kind == "empty" and Path(name).suffix.lower() in PHOTO_ENDINGS:
            todo.others[kind] -= 1
            todo.refused.append((name, "empty_file", "no bytes; copy it again"))
    todo.others = +todo.others
    return todo


def path_of(name: str) -> str:
    r"""Return the path that `name_of` of the lister wrote: \xNN is a byte, \\ a backslash."""
    pattern = rb"\\(?:\\|x([0-9a-f]{2}))"
    data = re.sub(pattern, lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", name.encode())
    return os.fsdecode(data)


def _is_ours(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last == LOCK or bool(TEMPORARY.fullmatch(last))


def _refuse_missing(source: Path, what: str) -> None:
    if not os.path.lexists(source):
        raise ValueError(f"{what}: there is no such file or folder")


def _refuse_nested(source: Path, out: Path, what: str, of: str) -> None:
    inner, outer = out.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"{what}: lies in {of}, or around it; name a folder beside it")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{what}: is a file, but {of} is a folder; name a folder")
