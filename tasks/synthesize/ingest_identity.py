"""Which photo a table's path leads to, and which photos are one picture, whoever's they are said to be."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from models.photos.duplicates import THUMBNAIL_PX, same_pictures
from models.photos.listing import Listing, fold
from models.records.identity import Target
from models.records.reading import PICTURE_NAME
from models.records.record import Record
from models.records.vocabulary import lookalike

MAX_WORDS = 24  # of a text that may mention photos
SEVERAL_PATHS = re.compile(r"[;|,\n]+")


class Resolver:
    """Finds the photo that a record names, from the source folder or from the glob's fixed beginning (`photos/`)."""

    def __init__(self, listing: Listing, source: Path, pattern: str) -> None:
        fixed = [part for part in PurePosixPath(pattern).parts[:-1] if not set("*?[") & set(part)]
        self.listing, self.source, self.prefix = listing, source, "/".join(fixed)
        self.root = source.resolve().as_posix() + "/"

    def __call__(self, named: str, is_wide: bool = False) -> Target:
        """Return the one photo of that path, whatever its spelling, or why there is none and which it may mean.

        A wide one claims photos whose names merely stand in the text, and all of a folder.
        """
        paths = [path for path in (self._below(form) for form in _forms(named)) if path is not None]
        bases = ("", f"{self.prefix}/") if self.prefix else ("",)
        found = list(dict.fromkeys(name for path in paths for base in bases for name in self.listing.find(base + path)))
        if len(found) == 1:
            return self._one(found[0])
        if found:
            claims = frozenset(found) & self.listing.photos.keys()
            return Target("", "ambiguous_file_name", f"it fits {len(found)} files; rename all but one", claims)
        return self._none(named, paths, is_wide)

    def _one(self, name: str) -> Target:
        if name in self.listing.photos:
            return Target(name, claims=frozenset([name]))
        if name in self.listing.refused:
            return Target(name, *self.listing.refused[name], self._behind(name))
        kind = self.listing.others[name]
        reason = "empty_file" if kind == "empty" else "not_an_image"
        return Target(name, reason, f"a file of the kind {kind}; expected a photo")

    def _behind(self, link: str) -> frozenset[str]:
        """Return the listed photo that a link leads to."""
        behind = (self.source / link).resolve().as_posix().removeprefix(self.root)
        return frozenset({behind} & self.listing.photos.keys())

    def _none(self, named: str, paths: list[str], is_wide: bool) -> Target:
        texts = {named, *_forms(named), *SEVERAL_PATHS.split(named)}
        if is_wide:
            texts |= set(_pieces(lookalike(_forms(named)[-1])))
        claims = {name for text in texts if text for name in self.listing.meant_by(text, self.prefix)}
        if not paths:
            reason, expected = "path_outside", "a path below the source folder"
        elif any(self._is_folder(base + path) for path in paths for base in ("", f"{self.prefix}/")):
            reason, expected = "not_a_file", "a photo, not a folder"
            if is_wide:
                inner = tuple(fold(base + path) + "/" for path in paths for base in ("", f"{self.prefix}/"))
                claims |= {name for name in self.listing.photos if fold(name).startswith(inner)}
        else:
            reason, expected = ("file_missing", f"a path from the source folder that {self.prefix or 'it'} holds")
        hint = f"; {len(claims)} photos elsewhere have such a name" if claims else ""
        return Target("", reason, f"expected {expected}{hint}", frozenset(claims))

    def _below(self, form: str) -> str | None:
        """Return a path relative to the source folder, None for one that leads out of it."""
        path = form.replace("\\", "/")
        path = path.removeprefix(self.root)
        path = posixpath.normpath(path)
        outside = path.startswith(("/", "../")) or path in ("..", ".") or re.match(r"[A-Za-z]:", path) or "\0" in path
        return None if outside else path

    def _is_folder(self, path: str) -> bool:
        try:
            return (self.source / path).is_dir()
        except (OSError, ValueError):  # too long, or no path at all
            return False


def _forms(named: str) -> list[str]:
    """Return a path as it stands, without quotes and `file://`, and with its percent signs decoded once, twice."""
    plain = re.sub(r"^file://(localhost)?", "", named.strip().strip("\"'").strip())
    return list(dict.fromkeys([named.strip(), plain, unquote(plain), unquote(unquote(plain))]))


def _pieces(text: str) -> Iterator[str]:
    """Yield what stands between two ends of words and may be a photo's name: a.jpg in "see a.jpg (left)".

    A folder stays with what it holds, and a number with what it counts: front_2 is not front.
    """
    text = re.sub(f"({PICTURE_NAME.pattern})/", r"\1 ", text.replace("\\", "/"), flags=re.IGNORECASE)
    starts = [match.start() for match in re.finditer(r"(?<![^\W_/])(?<!\d[_-])[^\W_]", text)]
    ends = [match.end() for match in re.finditer(r"[^\W_](?![^\W_/]|[_-]?\d)", text)]
    for start in starts[:MAX_WORDS]:
        for end in ends[-MAX_WORDS:]:
            if start < end and not text[start:end].isdigit():
                yield text[start:end]


def judge_pictures(rows: list[dict], naming: Mapping[str, list[Record]]) -> dict[str, tuple[str, str]]:
    """Return file -> reason, detail of photos that are one picture with another which contradicts them.

    `rows` are CHECKED ones. Equal or nearly equal pictures of two patients are nobody's, those of somebody who
    refused are out, and equal pictures have one disease.
    """
    seen = [row for row in rows if row["file_sha256"]]
    keys = [tuple(row[name] or "" for name in ("file_sha256", "picture_sha256", "image_id")) for row in seen]
    blank = bytes(THUMBNAIL_PX**2)
    thumbnails = np.frombuffer(b"".join(row["thumbnail"] or blank for row in seen), np.uint8)
    equal, near = same_pictures(keys, thumbnails.reshape(len(seen), THUMBNAIL_PX, THUMBNAIL_PX))
    against: dict[str, tuple[str, str]] = {}
    for labels, reasons in ((equal, (_refused, _two_patients, _two_diseases)), (near, (_refused, _two_patients))):
        for names in _groups(seen, labels):
            records = [record for name in names for record in naming[name]]
            reason = next((found for judge in reasons if (found := judge(records))), None)
            if reason:
                lines = sorted({record.line for record in records})
                detail = f"found one picture in lines {', '.join(map(str, lines[:5]))}; {reason[1]}"
                against |= {name: (reason[0], detail) for name in names if name not in against}
    return against


def _groups(rows: list[dict], labels: np.ndarray) -> list[list[str]]:
    groups: dict[int, list[str]] = defaultdict(list)
    for row, label in zip(rows, labels.tolist(), strict=True):
        groups[label].append(row["file"])
    return [names for names in groups.values() if len(names) > 1]


def _refused(records: list[Record]) -> tuple[str, str] | None:
    if any(record.refuses for record in records):
        return "consent_refused_elsewhere", "one of them refuses"
    return None


def _two_patients(records: list[Record]) -> tuple[str, str] | None:
    if len({record.person or record.patient_id or record.line for record in records}) > 1:
        return ("same_picture_two_patients", "expected one patient; say whose it is, and take the other row out")
    return None


def _two_diseases(records: list[Record]) -> tuple[str, str] | None:
    if len({record.disease for record in records}) > 1:
        return "same_picture_two_diagnoses", "expected one diagnosis; take the wrong row out"
    return None
