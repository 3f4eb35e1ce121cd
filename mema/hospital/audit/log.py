"""Who did what to which file, when and why: JSON lines, each holding the hash of the one before.

A line that was changed, removed from the middle or moved breaks the chain. Lines cut off at the end are
missed by the head file beside the log. Whoever may write both files can compute a whole new chain: against
that, note the head that `verify` prints where he cannot write and give it to `verify` the next time, or have
each line written to a second place (mema/hospital/audit/sink.py).

The hash of a log's first line is its identity: side-cars hold it, and it survives `rotate`, which puts the
file aside as LOG.000001, LOG.000002 ...; the chain goes on in a new file, whose first line names the identity.
"""

import fcntl
import json
import os
import pwd
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from mema.hospital.audit.chain import GENESIS, AuditError, Head, check_line, make_line, parse_head
from mema.hospital.audit.sink import TAIL_BYTES, Sink

MAX_WHY = 1000
BEGIN, CONTINUE, ROTATE, RECOVER = "begin", "continue", "rotate", "recover"


@dataclass(frozen=True)
class Log:
    """A log's file, and the second place for its lines."""

    path: Path
    sink: Sink = field(default_factory=Sink)

    def append(self, action: str, file_sha256: str, why: str) -> Head:
        """Add a line and its head durably; safe among processes. Raises AuditError on a log that was changed."""
        _refuse_long(why)
        with _locked(self.path) as handle:
            return self._write(handle, self._ready(handle), (action, file_sha256, why))

    def identity(self) -> str:
        """Return the hash of the log's first line, which is written here if the log is new."""
        with _locked(self.path) as handle:
            last = self._ready(handle)
            if not last.seq:
                return self._write(handle, last, (BEGIN, GENESIS, "")).hash
            return _identity(self.path, handle)

    def rotate(self, why: str = "") -> Path:
        """Put the file aside under the next number; the chain goes on. Return where it is."""
        _refuse_long(why)
        with _locked(self.path, begun=_begun(self.path)) as handle:
            last = self._ready(handle)
            if not last.seq:
                raise AuditError(f"{self.path}: has no line yet; nothing to put aside")
            aside = self.path.with_name(f"{self.path.name}.{len(rotated(self.path)) + 1:06d}")
            if os.path.lexists(aside):
                raise AuditError(f"{aside}: is there, although a lower number is missing; bring that back")
            self._write(handle, last, (ROTATE, _identity(self.path, handle), why))
            self.path.rename(aside)
        self.identity()  # begins the new file
        return aside

    def _ready(self, handle: BinaryIO) -> Head:
        """Return the head of the last line, after mending what a kill left; a new file of a chain is begun."""
        last = _last_head(handle, self.path)
        _write_head(self.path, last)  # a kill between a line and its head leaves the head one behind
        torn = _cut_torn_line(handle)
        aside = rotated(self.path)
        self.sink.catch_up(_last_line(handle) or (_last_line_of(aside[-1]) if aside else b""))
        if torn:
            last = self._write(handle, last, (RECOVER, GENESIS, f"{torn} bytes of a line that was never finished"))
        elif aside and not handle.seek(0, os.SEEK_END):
            with aside[0].open("rb") as first:
                last = self._write(handle, last, (CONTINUE, _identity(aside[0], first), ""))
        return last

    def _write(self, handle: BinaryIO, last: Head, said: tuple[str, str, str]) -> Head:
        entry = dict(zip(("action", "file_sha256", "why"), said, strict=True))
        entry |= {"when": datetime.now(UTC).isoformat(timespec="milliseconds"), "who": who()}
        line, head = make_line(last, entry)
        handle.write(line)
        handle.flush()
        os.fsync(handle.fileno())
        _write_head(self.path, head)
        self.sink.write(line)
        return head


def verify(log: Path, expected: Head | None = None, second: Path | None = None) -> Head:
    """Return the head of a log whose chain holds; raises AuditError that names the first bad line.

    `expected` is a head noted earlier: it must stand in the chain. `second` is the second file: its lines
    must stand there too, up to the last.
    """
    head, seen = Head(), {0: GENESIS}
    with _locked(log, begun=_begun(log)) as handle:
        for path, data in [*((path, path.read_bytes()) for path in rotated(log)), (log, handle.read())]:
            for number, line in enumerate(data.split(b"\n")[:-1], start=1):
                head = check_line(line, head, f"{path}, line {number}")
                seen[head.seq] = head.hash
        _compare_with_head_file(log, head, seen)
        if second:
            _compare_with_second(second, head, seen)
    if expected and seen.get(expected.seq) != expected.hash:
        raise AuditError(f"{log}: line {expected.seq} is not the one that was noted; lines were rewritten or cut")
    return head


def rotated(log: Path) -> list[Path]:
    """Return the files that were put aside, the oldest first."""
    pattern = re.compile(re.escape(log.name) + r"\.[0-9]{6}")
    if not log.parent.is_dir():
        return []
    return sorted(path for path in log.parent.iterdir() if pattern.fullmatch(path.name))


def _refuse_long(why: str) -> None:
    if len(why) > MAX_WHY:
        raise ValueError(f"why: {len(why)} characters, at most {MAX_WHY}; name the request by its number")


def _begun(log: Path) -> bool:
    """Tell whether there is a log, be it that its file was put aside just now."""
    return os.path.lexists(log) or bool(rotated(log))


def head_path(log: Path) -> Path:
    """Return where the head is kept."""
    return log.with_name(log.name + ".head")


def who() -> str:
    """Return account@machine; the account is the process's, not what the environment claims."""
    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        account = f"uid {os.getuid()}"
    return f"{account}@{socket.gethostname()}"


@contextmanager
def _locked(log: Path, begun: bool = True) -> Iterator[BinaryIO]:
    """Open and lock the log, anew if it was put aside meanwhile; what the system refuses is an AuditError."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CREAT
    if not begun:
        lost = "" if head_path(log).exists() else " and no head"
        raise AuditError(f"{log}: there is no such log{lost}; take it from a backup")
    if os.path.lexists(log) and not stat.S_ISREG(log.lstat().st_mode):
        raise AuditError(f"{log}: is a link, folder or device, and the audit log must be a file")
    try:
        while True:
            log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(log, flags, 0o600), "r+b") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if log.exists() and os.path.samestat(log.lstat(), os.fstat(handle.fileno())):
                    yield handle
                    return
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise AuditError(f"{log}, or its second place: {why}; without the audit log nothing is done") from None


def _identity(log: Path, handle: BinaryIO) -> str:
    handle.seek(0)
    first = handle.readline(TAIL_BYTES).removesuffix(b"\n")
    digest = check_line(first, None, f"{log}, line 1").hash
    entry = json.loads(first)
    return entry["file_sha256"] if entry["action"] == CONTINUE else digest


def _last_head(handle: BinaryIO, log: Path) -> Head:
    """Return the head of the last whole line, after comparing it with the head file."""
    heads = _tail_heads(handle, log)
    if len(heads) < 2 and (aside := rotated(log)):
        with aside[-1].open("rb") as before:
            heads = _tail_heads(before, aside[-1]) + heads
    heads = [Head(), *heads]
    _compare_with_head_file(log, heads[-1], {head.seq: head.hash for head in heads})
    return heads[-1]


def _tail_heads(handle: BinaryIO, log: Path) -> list[Head]:
    handle.seek(max(0, handle.seek(0, os.SEEK_END) - TAIL_BYTES))
    lines = handle.read().split(b"\n")[:-1][-2:]
    return [check_line(line, None, f"{log}, last lines") for line in lines]


def _last_line(handle: BinaryIO) -> bytes:
    handle.seek(max(0, handle.seek(0, os.SEEK_END) - TAIL_BYTES))
    return b"".join(handle.read().splitlines(keepends=True)[-1:])


def _last_line_of(path: Path) -> bytes:
    with path.open("rb") as handle:
        return _last_line(handle)


def _compare_with_head_file(log: Path, head: Head, seen: dict[int, str]) -> None:
    """Compare with what was written last; one line more is a kill between the line and its head."""
    path = head_path(log)
    if not path.exists():
        if head.seq > 1:
            raise AuditError(f"{path}: the head of the log is missing; take both files from a backup")
        return
    try:
        stored = parse_head(path.read_text().strip())
    except ValueError:
        raise AuditError(f"{path}: was changed; take both files from a backup") from None
    if stored.seq > head.seq:
        raise AuditError(f"{log}: ends at line {head.seq}, but {stored.seq} were written; lines were cut off")
    if stored.seq < head.seq - 1 or seen.get(stored.seq) != stored.hash:
        raise AuditError(f"{log}: does not go on from its head {stored.seq}; lines were added or rewritten")


def _compare_with_second(second: Path, head: Head, seen: dict[int, str]) -> None:
    """Compare with the second file, which may have begun later; one line less is a kill between the two."""
    if not second.is_file():
        raise AuditError(f"{second}: the second log is missing")
    last = None
    for number, line in enumerate(second.read_bytes().split(b"\n")[:-1], start=1):
        last = check_line(line, last, f"{second}, line {number}")
        if seen.get(last.seq) != last.hash:
            raise AuditError(f"{second}, line {number}: isn't in the log; the log was rewritten or cut")
    if last is None or last.seq < head.seq - 1:
        raise AuditError(f"{second}: ends before the log, which has {head.seq} lines; lines were cut off")


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
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(f"{head}\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
