"""The hospital's secret behind what is published: donors' pseudonyms, and noise that nobody can draw again.

Whoever knows the key can undo both. A hospital's key is a file in its own zone, made on first use; phantoms, who are
nobody, have one that stands in params.yaml for everybody to read, so that a fresh clone gives the same bytes.
"""

import hashlib
import hmac
import logging
import os
import secrets
import stat
from pathlib import Path

from mema.params.hospital import ReleaseKey

KEY_BYTES = 32
FEWEST_BYTES = 16  # different ones in a key; 32 drawn at random have fewer once in 10^16
WORKSPACE = Path(".git/mema-workspace")  # marks a checkout of flows.workspace, which a hospital's zone is not
log = logging.getLogger(__name__)


def release_key(section: ReleaseKey, purpose: str) -> bytes:
    """Return 32 bytes for one purpose; those of another purpose say nothing about them.

    Raises ValueError where the key's file is not as this module makes it, or is missing where it must not be made.
    """
    if not purpose:
        raise ValueError("release_key: a key without a purpose would serve two ends; say what it is for")
    secret = section.published.encode() if section.published else _read(Path(section.path).expanduser())
    return hmac.digest(secret, purpose.encode(), hashlib.sha256)


def _read(path: Path) -> bytes:
    """Return the key that a file holds; one is made where there is no file."""
    if not os.path.lexists(path):
        _make(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as handle:
        mode = os.fstat(descriptor).st_mode
        text = handle.read(2 * KEY_BYTES + 2) if stat.S_ISREG(mode) else b""
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise ValueError(
            f"release_key.path: {path} is {stat.filemode(mode)}; allowed: a file that its owner alone reads; "
            f"chmod 600 {path}, and make a new key if others may have read it"
        )
    return _parse(text, path)


def _parse(text: bytes, path: Path) -> bytes:
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES or len(set(secret)) < FEWEST_BYTES:
        raise ValueError(
            f"release_key.path: {path} holds no key; allowed: {2 * KEY_BYTES} random hex digits; take it from the "
            "backup, or move it away for a new one to be made (pseudonyms and noise change with it)"
        )
    return secret


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; of two processes at once the first one's stands."""
    if WORKSPACE.exists():
        raise ValueError(
            f"release_key.path: {path} is missing, and a worker's checkout must not make a key of its own, or two "
            "releases of the same data would differ; name the hospital's key by an absolute path"
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_hex(KEY_BYTES) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)
    log.warning("%s: made a new release key; back it up, for with another one pseudonyms and noise change", path)
