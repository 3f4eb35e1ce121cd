"""Who did what to which file, when and why: JSON lines, each holding the hash of the one before.

A line that was changed, removed from the middle or moved breaks the chain. Lines cut off at the end are
missed by the head file beside the log. Whoever may write both files can compute a whole new chain: against
that, note the head that `verify` prints where he cannot write, and give it to `verify` the next time.
"""

import fcntl
import hashlib
import json
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

GENESIS = "0" * 64
MAX_WHY, TAIL_BYTES = 1000, 1 << 16  # several lines of the longest kind
FIELDS = ("seq", "when", "who", "action", "file_sha256", "why", "previous", "hash")


class AuditError(ValueError):
    """A log that is not as it was written."""


@dataclass(frozen=True)
class Head:
    """The last line's number and hash."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def append(log: Path, action: str, file_sha256: str, why: str) -> Head:
    """Add a line and its head durably; safe among processes. Raises AuditError on a log that was changed."""
    if len(why) > MAX_WHY:
        raise ValueError(f"why: {len(why)} characters, at most {MAX_WHY}; name the request by its number")
    with _locked(log) as handle:
        last = _last_head(handle, log)
        _write_head(log, last)  # a kill between a line and its head leaves the head one behind
        if torn := _cut_torn_line(handle):
            why_cut = f"{torn} bytes of a line that was never finished"
            last = _write(handle, log, last, ("recover", GENESIS, why_cut))
        return _write(handle, log, last, (action, file_sha256, why))


def verify(log: Path, expected: Head | None = None) -> Head:
    """Return the head of a log whose chain holds; raises AuditError that names the first bad line.

    `expected` is a head noted earlier: it must stand in the chain.
    """
    with _locked(log, create=False) as handle:
        head, seen = Head(), {0: GENESIS}
        for number, line in enumerate(handle.read().split(b"\n")[:-1], start=1):
            head = _check_line(line, head, f"{log}, line {number}")
            seen[head.seq] = head.hash
        _compare_with_head_file(log, head, seen)
    if expected and seen.get(expected.seq) != expected.hash:
        raise AuditError(
            f"{log}: line {expected.seq} is not the one that was noted; lines were rewritten or cut"
        )
    return head


def parse_head(text: str) -> Head:
    """Return a head from 'NUMBER:HASH', as verify prints it."""
    number, _, digest = text.partition(":")
    if not number.isdigit() or len(digest) != 64:
        raise ValueError(f"head: {text!r} is not NUMBER:HASH, as `mema audit verify` prints it")
    return Head(int(number), digest.lower())


def head_path(log: Path) -> Path:
    """Return where the head is kept."""
    return log.with_name(log.name + ".head")


@contextmanager
def _locked(log: Path, create: bool = True) -> Iterator[BinaryIO]:
    if create:
        log.parent.mkdir(parents=True, exist_ok=True)
    elif not log.exists():
        raise AuditError(f"{log}: there is no such log" + ("" if head_path(log).exists() else " and no head"))
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0), 0o600)
    with os.fdopen(descriptor, "r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle


def _last_head(handle: BinaryIO, log: Path) -> Head:
    """Return the head of the last whole line, after comparing it with the head file."""
    handle.seek(max(0, handle.seek(0, os.SEEK_END) - TAIL_BYTES))
    lines = handle.read().split(b"\n")[:-1][-2:]
    heads = [Head()] + [_check_line(line, None, f"{log}, last lines") for line in lines]
    _compare_with_head_file(log, heads[-1], {head.seq: head.hash for head in heads})
    return heads[-1]


def _compare_with_head_file(log: Path, head: Head, seen: dict[int, str]) -> None:
    """Compare with what was written last; one line more is a kill between the line and its head."""
    path = head_path(log)
    if not path.exists():
        if head.seq > 1:
            raise AuditError(f"{path}: the head of the log is missing; take both files from a backup")
        return
    stored = parse_head(path.read_text().strip())
    if stored.seq > head.seq:
        raise AuditError(f"{log}: ends at line {head.seq}, but {stored.seq} were written; lines were cut off")
    if stored.seq < head.seq - 1 or seen.get(stored.seq) != stored.hash:
        raise AuditError(f"{log}: does not go on from its head {stored.seq}; lines were added or rewritten")


def _check_line(line: bytes, before: Head | None, where: str) -> Head:
    try:
        entry = json.loads(line)
        digest = entry.pop("hash")
        whole = set(entry) == set(FIELDS[:-1]) and _hash(entry) == digest and line == _encode(entry, digest)
    except (ValueError, KeyError, AttributeError, TypeError):
        whole, entry, digest = False, {}, ""
    if not whole:
        raise AuditError(f"{where}: was changed; its hash does not fit")
    if before and (entry["seq"], entry["previous"]) != (before.seq + 1, before.hash):
        raise AuditError(f"{where}: does not follow line {before.seq}; lines were removed, added or moved")
    return Head(entry["seq"], digest)


def _write(handle: BinaryIO, log: Path, last: Head, said: tuple[str, str, str]) -> Head:
    entry = dict(zip(("action", "file_sha256", "why"), said, strict=True))
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    entry |= {"seq": last.seq + 1, "when": when, "who": who(), "previous": last.hash}
    digest = _hash(entry)
    handle.write(_encode(entry, digest) + b"\n")
    handle.flush()
    os.fsync(handle.fileno())
    head = Head(last.seq + 1, digest)
    _write_head(log, head)
    return head


def who() -> str:
    """Return account@machine; the account is the process's, not what the environment claims."""
    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        account = f"uid {os.getuid()}"
    return f"{account}@{socket.gethostname()}"


def _cut_torn_line(handle: BinaryIO) -> int:
    """Cut bytes after the last line break, which a kill left and nobody was told of; return how many."""
    size = handle.seek(0, os.SEEK_END)
    start = handle.seek(max(0, size - TAIL_BYTES))
    whole = start + handle.read().rfind(b"\n") + 1
    if whole < size:
        handle.truncate(whole)
    return size - whole


def _write_head(log: Path, head: Head) -> None:
    path = head_path(log)
    temporary = path.with_name(f".{path.name}.tmp")  # one writer at a time: the log is locked
    with temporary.open("w") as handle:
        handle.write(f"{head}\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def _canonical(entry: dict) -> bytes:
    return json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _encode(entry: dict, digest: str) -> bytes:
    return _canonical({**entry, "hash": digest})


def _hash(entry: dict) -> str:
    return hashlib.sha256(_canonical(entry)).hexdigest()
