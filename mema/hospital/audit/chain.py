"""The audit log's lines: one JSON object each, with the hash of its own text and that of the line before."""

import hashlib
import json
import re
from dataclasses import dataclass

GENESIS = "0" * 64
FIELDS = ("seq", "when", "who", "action", "file_sha256", "why", "previous", "hash")


class AuditError(ValueError):
    """A log that is not as it was written, or that cannot be written."""


@dataclass(frozen=True)
class Head:
    """The last line's number and hash."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def parse_head(text: str) -> Head:
    """Return a head from 'NUMBER:HASH', as verify prints it."""
    number, _, digest = text.partition(":")
    if not re.fullmatch("[0-9]{1,18}", number) or not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise ValueError(f"head: {text!r} is not NUMBER:HASH, as `mema audit verify` prints it")
    return Head(int(number), digest.lower())


def make_line(before: Head, entry: dict[str, str]) -> tuple[bytes, Head]:
    """Return the line that follows `before`, with its line break, and its head."""
    whole = {**entry, "seq": before.seq + 1, "previous": before.hash}
    head = Head(before.seq + 1, _hash(whole))
    return _encode(whole, head.hash) + b"\n", head


def check_line(line: bytes, before: Head | None, where: str) -> Head:
    """Return a line's head; raises AuditError where it was changed, or does not follow `before`."""
    try:
        entry = json.loads(line)
        digest = entry.pop("hash")
        whole = set(entry) == set(FIELDS[:-1]) and _hash(entry) == digest and line == _encode(entry, digest)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        whole, entry, digest = False, {}, ""
    if not whole:
        raise AuditError(f"{where}: was changed; its hash does not fit")
    if before and (entry["seq"], entry["previous"]) != (before.seq + 1, before.hash):
        raise AuditError(
            f"{where}: does not follow line {before.seq}; lines were removed, added or moved, or a file that "
            "was put aside is missing"
        )
    return Head(entry["seq"], digest)


def _canonical(entry: dict) -> bytes:
    return json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _encode(entry: dict, digest: str) -> bytes:
    return _canonical({**entry, "hash": digest})


def _hash(entry: dict) -> str:
    return hashlib.sha256(_canonical(entry)).hexdigest()
