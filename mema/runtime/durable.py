"""Files that are whole or absent, whenever the process is killed, and what their contents are told apart by."""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PUBLISHED = ".published"
AT_REST_SECONDS = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, without which a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then flush and rename it, so `path` is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, atomically and durably."""
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, atomically and durably."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically; nan and infinity are refused, since JSON has neither."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def hash_path(path: Path, update: Callable[[bytes], None], above: tuple[Path, ...] = ()) -> None:
    """Feed names and contents below `path`; links are followed, but not to a folder that they lie in.

    `above` are the real folders on the way here.
    """
    try:
        if path.is_symlink():
            update(b"link\0" + os.readlink(path).encode(errors="surrogateescape"))
        if path.is_dir():
            real = path.resolve()
            if not any(folder.is_relative_to(real) for folder in above):
                for child in sorted(path.iterdir()):
                    if child.name != "__pycache__":
                        update(b"entry\0" + child.name.encode(errors="surrogateescape") + b"\0")
                        hash_path(child, update, (*above, real))
        else:
            update(_digest_of(path) if path.is_file() else b"absent")
    except OSError as error:  # unreadable, or links in a circle: whoever reads it says so
        update(f"unreadable {type(error).__name__}".encode())


_known: dict[tuple[int, ...], bytes] = {}  # digests of files that were at rest when they were read


def _digest_of(file: Path) -> bytes:
    """Return a file's digest, read once in this process while its inode, size and times are the same.

    Times tick in steps: a file that changed a moment ago may change again within one, and is not remembered.
    """
    with file.open("rb") as handle:
        status = os.fstat(handle.fileno())
        key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if key not in _known:
            found = hashlib.file_digest(handle, "sha256").digest()
            if time.time() - max(status.st_mtime, status.st_ctime) < AT_REST_SECONDS:
                return found
            _known[key] = found
    return _known[key]


def fingerprint(*paths: Path, **values: Any) -> str:
    """Return 16 hex digits over the contents of files and folders and over JSON-able values.

    Whole contents are read: seconds for some ten thousand photos, and unlike times or sizes never wrong.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(b"path\0")
        hash_path(path, digest.update)
    digest.update(json.dumps(values, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def let_go(folder: Path) -> None:
    """Mark unfinished work as published; it goes when another stage starts.

    DVC deletes the outs of a stage that is killed before its entry stands in dvc.lock. Until then, which takes
    minutes for large outs, the stage finds all its work here and publishes it again.
    """
    if folder.is_dir():
        (folder / PUBLISHED).touch()


def take_up(folder: Path) -> None:
    """Remove the mark of `let_go`: this is unfinished work again."""
    (folder / PUBLISHED).unlink(missing_ok=True)


def sweep(scratch: Path, stage: str) -> None:
    """Remove what other stages have published; DVC starts a stage only when those before stand in dvc.lock."""
    for mark in scratch.glob(f"*/{PUBLISHED}"):
        if not mark.parent.name.startswith(f"{stage}-"):
            shutil.rmtree(mark.parent, ignore_errors=True)


def no_room(error: BaseException | None) -> str:
    """Return what had no room, where that is why `error` came; torch and safetensors hide the OSError."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return str(error.filename or "disk")
        if any(f"os error {number})" in str(error) for number in FULL):  # safetensors
            return "disk"
        error = error.__cause__ or error.__context__
    return ""
