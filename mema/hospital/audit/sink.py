"""A second place for each line of the audit log: a file elsewhere, or the system's log."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

SYSLOG = "syslog:"
PRIORITY = 10 * 8 + 5  # authpriv, notice
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Sink:
    """`place` is a file, `syslog:/dev/log` (the journal listens there too), or empty for none."""

    place: str = ""

    @property
    def file(self) -> Path | None:
        """Return the second file, if it is one."""
        return Path(self.place) if self.place and not self.place.startswith(SYSLOG) else None

    def write(self, line: bytes) -> None:
        """Write a line; raises OSError where the place does not take it."""
        if self.place.startswith(SYSLOG):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.connect(self.place.removeprefix(SYSLOG))
                out.send(b"<%d>mema: " % PRIORITY + line.rstrip(b"\n"))
        elif self.file:
            self._append(line)

    def catch_up(self, line: bytes) -> None:
        """Write the log's last line, or the rest of it, where a kill kept it from the second file."""
        if not self.file or not line:
            return
        tail = b""
        if self.file.exists():
            with self.file.open("rb") as handle:
                handle.seek(max(0, handle.seek(0, os.SEEK_END) - TAIL_BYTES))
                tail = handle.read()
        if tail.endswith(line):
            return
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not line.startswith(torn):
            raise OSError(0, "the second log was changed")
        self._append(line[len(torn) :])

    def _append(self, data: bytes) -> None:
        assert self.file is not None
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(self.file, flags, 0o600), "ab", buffering=0) as handle:
            handle.write(data)
            os.fsync(handle.fileno())
