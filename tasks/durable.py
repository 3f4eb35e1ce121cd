"""Files that are whole or absent, whenever the process is killed, and what their contents are told apart by."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

PUBLISHED = ".published"


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


def _hash_path(path: Path, update: Callable[[bytes], None]) -> None:
    """Feed names and contents below `path`; links are hashed as links, so none leads out of the folder."""
    if path.is_symlink():
        update(b"link\0" + os.readlink(path).encode(errors="surrogateescape"))
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name != "__pycache__":
                update(b"entry\0" + child.name.encode(errors="surrogateescape") + b"\0")
                _hash_path(child, update)
    elif path.is_file():
        with path.open("rb") as handle:
            update(hashlib.file_digest(handle, "sha256").digest())
    else:
        update(b"absent")


def fingerprint(*paths: Path, **values: Any) -> str:
    """Return 16 hex digits over the contents of files and folders and over JSON-able values.

    Whole contents are read: seconds for some ten thousand photos, and unlike times or sizes never wrong.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(b"path\0")
        _hash_path(path, digest.update)
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
