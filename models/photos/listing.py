"""What lies below a folder: photos, files that are none, and what may not or cannot be read, each by its name."""

import fnmatch
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from models.photos.formats import is_picture
from models.records.vocabulary import visible

# Endings and names of files that lie beside photos; a picture under such a name is a photo all the same.
COMPANIONS = {
    "table": ("csv", "tsv", "xls", "xlsx", "ods", "parquet"),
    "text": ("json", "jsonl", "txt", "md", "log", "yaml", "yml", "html", "htm", "sha256", "md5"),
    "metadata": ("xmp", "xml", "aae", "ini", "thm", "dvc", "gitignore"),
    "database": ("db", "sqlite"),
    "side_car": ("mema",),
}
KIND_OF_ENDING = {ending: kind for kind, endings in COMPANIONS.items() for ending in endings}
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", ".nomedia")
SNIFFED_BYTES = 64


@dataclass
class Listing:
    """Everything below a folder that a pattern finds, by relative path.

    `photos` are regular files that may be pictures, `others` (name -> kind) files beside them, `refused`
    (name -> reason, detail) links, devices and what could not be listed. A key is the real path, so two names
    that differ in Unicode form alone are two; `find` is where spellings meet.
    """

    photos: dict[str, Path] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    num_outside: int = 0

    @cached_property
    def _by_fold(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in (*self.photos, *self.others, *self.refused):
            found.setdefault(fold(name), []).append(name)
        return found

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.photos:
            for base in _bases(fold(name)):
                found.setdefault(base, []).append(name)
        return found

    def find(self, named: str) -> list[str]:
        """Return every entry whose path is `named` but for case, separators and Unicode form."""
        return self._by_fold.get(fold(named), [])

    def ambiguous(self) -> set[str]:
        """Return the entries that another one equals but for case, separators and Unicode form."""
        return {name for names in self._by_fold.values() if len(names) > 1 for name in names}

    def meant_by(self, named: str, prefix: str = "") -> list[str]:
        """Return the photos that a path from elsewhere may mean, with any ending or none.

        One of the two paths ends with the other: C:/Export/photos/a.jpg, or a.jpg for photos/x/a.jpg. Photos
        below the folder `prefix` may be named from there.
        """
        wanted = _stem(fold(named))
        candidates = dict.fromkeys(name for base in _bases(fold(named)) for name in self._by_base.get(base, ()))
        found = []
        for name in candidates:
            whole = _stem(fold(name))
            inner = whole.removeprefix(fold(prefix) + "/") if prefix else whole
            pairs = ((wanted, whole), (wanted, inner), (whole, wanted))
            if any(f"/{long}".endswith(f"/{short}") for long, short in pairs):
                found.append(name)
        return found

    def count_others(self) -> dict[str, int]:
        """Return how many files of each kind lie beside the photos."""
        return dict(sorted(Counter(self.others.values()).items()))


def list_folder(source: Path, pattern: str = "**/*") -> Listing:
    """List the files below `source` whose relative path the glob `pattern` matches; follows no link.

    Raises ValueError where there is nothing to list; every other trouble is an entry's reason.
    """
    parts = PurePosixPath(pattern).parts
    if PurePosixPath(pattern).is_absolute() or ".." in parts or not parts:
        raise ValueError(f"glob: {pattern!r} leads out of the source folder; give a pattern below it")
    if not source.is_dir():
        raise ValueError(f"source: {source} is no folder; put the photos there, or set inputs in params.yaml")
    listing, start = Listing(), _fixed(parts)
    depth = None if "**" in parts else len(parts)
    for entry in sorted(_walk(source, start, depth), key=lambda entry: os.fsencode(entry.path)):
        name = name_of(entry.path)
        if entry.reason:
            listing.refused[name] = (entry.reason, entry.detail)
        elif not _fits(entry.path.split("/"), parts):
            listing.num_outside += 1
        elif kind := _kind(source / entry.path, entry.size):
            listing.others[name] = kind
        else:
            listing.photos[name] = source / entry.path
    return listing


def name_of(path: str | Path) -> str:
    r"""Return a relative path as text that no other path has: bytes that are no UTF-8 are written \xNN."""
    escaped = os.fsencode(path).replace(b"\\", b"\\\\")
    return escaped.decode("utf-8", "backslashreplace")


def fold(name: str) -> str:
    """Return what two spellings of one path share: no case, one separator, one Unicode form, single blanks between.

    Nor dots at the end of a name, which Windows drops.
    """
    text = unicodedata.normalize("NFKC", name).replace("\\", "/").casefold()
    parts = [visible(part).rstrip(". ") for part in unicodedata.normalize("NFC", text).split("/")]
    return "/".join(part for part in parts if part)


def _stem(folded: str) -> str:
    """Return a path without its ending, so that a.jpeg and a meet a.jpg."""
    folder, slash, base = folded.rpartition("/")
    return folder + slash + (base.rpartition(".")[0] or base)


def _bases(folded: str) -> set[str]:
    base = folded.rpartition("/")[2]
    return {base, _stem(base)}


@dataclass(frozen=True)
class _Entry:
    path: str
    reason: str = ""
    detail: str = ""
    size: int = 0


def _fixed(parts: tuple[str, ...]) -> str:
    """Return the folder that a pattern names outright, where the walk begins."""
    fixed: list[str] = []
    for part in parts[:-1]:
        if set("*?[") & set(part):
            break
        fixed.append(part)
    return "/".join(fixed)


def _fits(path: list[str], pattern: tuple[str, ...]) -> bool:
    """Tell whether a path's parts match; `**` stands for any number of folders, or at the end for any file."""
    if not pattern or not path:
        return not pattern and not path
    if pattern[0] == "**":
        return len(pattern) == 1 or any(_fits(path[start:], pattern[1:]) for start in range(len(path)))
    return fnmatch.fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def _walk(source: Path, start: str, depth: int | None) -> Iterator[_Entry]:
    """Yield every file and every trouble below source/start, at most `depth` levels below source."""
    for step in _ancestors(start):
        try:
            status = (source / step).lstat()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                yield _Entry(step, "unreadable_folder", type(error).__name__)
            return
        if not stat.S_ISDIR(status.st_mode):
            yield _special(step, status)
            return
    folders = [start]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(source / folder if folder else source) as scanned:
                entries = list(scanned)
        except OSError as error:
            yield _Entry(folder or ".", "unreadable_folder", type(error).__name__)
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:  # gone since, or not to be looked at
                yield _Entry(path, "unreadable_file", type(error).__name__)
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield _special(path, status)
            elif depth is None or path.count("/") + 1 < depth:
                folders.append(path)


def _ancestors(path: str) -> Iterable[str]:
    parts = path.split("/") if path else []
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))


def _special(path: str, status: os.stat_result) -> _Entry:
    if stat.S_ISLNK(status.st_mode):
        return _Entry(path, "symbolic_link", "links are not followed; put the file or folder itself there")
    if not stat.S_ISREG(status.st_mode):
        return _Entry(path, "not_a_file", "a device, pipe or socket")
    return _Entry(path, size=status.st_size)


def _kind(path: Path, size: int) -> str:
    """Return what a file beside photos is, or "" for what may be one."""
    name = path.name.casefold()
    if size == 0:
        return "empty"
    kind = "system" if name in SYSTEM_FILES or name.startswith("._") else ""
    kind = kind or KIND_OF_ENDING.get(name.rpartition(".")[2] if "." in name else "", "")
    if not kind:
        return ""
    try:
        with path.open("rb") as handle:
            return "" if is_picture(handle.read(SNIFFED_BYTES)) else kind
    except OSError:
        return ""  # reading it again says why
