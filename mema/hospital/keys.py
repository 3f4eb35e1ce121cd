"""The passphrase: from a file or a prompt, never from the command line, where every process reads it."""

import getpass
import os
import secrets
import stat
import sys
from pathlib import Path

from mema.hospital.strength import refuse_weak
from models.concealing.passwords import KdfParameters, Passphrase

MAX_BYTES = 4096
BOM = "\ufeff"
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters, none of which is read as another
GROUPS, GROUP_LETTERS = 7, 4  # 140 bits


def read_passphrase(
    key_file: Path | None, kdf: KdfParameters, what: str = "Passphrase", new: bool = False
) -> Passphrase:
    """Return the passphrase of a file or of the prompt; raises ValueError with the remedy.

    What a `new` one seals nobody could open after a slip, or everybody after a guess: it is asked for twice,
    and refused where it is weak. Others only open.
    """
    if key_file is not None:
        passphrase = _of_text(_read(key_file), kdf)
    elif not sys.stdin.isatty():
        raise ValueError("--key-file: needed where no terminal can ask for the passphrase")
    else:
        text = getpass.getpass(f"{what}: ")
        if new and getpass.getpass(f"{what} again: ") != text:
            raise ValueError("passphrase: the two are not the same; start again")
        passphrase = _of_text(text, kdf)
    if new:
        refuse_weak(passphrase.text)
    return passphrase


def make_key_file(path: Path) -> None:
    """Write a random passphrase of 140 bits that only its owner reads; raises ValueError where a file is."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LETTERS)) for _ in range(GROUPS))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ValueError(f"{path}: is there, and a key is never overwritten; name another file") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; name a file in a folder of yours") from None
    with os.fdopen(descriptor, "w") as handle:
        os.fchmod(handle.fileno(), 0o600)
        handle.write("-".join(groups) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def _of_text(text: str, kdf: KdfParameters) -> Passphrase:
    """Return the passphrase without what editors add: a byte order mark, CR LF, line breaks at the end.

    Earlier versions took off one line break alone, so what they read is tried too.
    """
    plain = text.removeprefix(BOM).replace("\r\n", "\n").rstrip("\r\n")
    before = text.removesuffix("\n").removesuffix("\r")
    older = (Passphrase(before, kdf),) if before != plain else ()
    return Passphrase(plain, kdf, older=older)


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                raise ValueError(f"--key-file: {path} is no file of at most {MAX_BYTES} bytes of text")
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"--key-file: others may read {path}; run `chmod 600 {path}`")
            data = handle.read(MAX_BYTES)
    except OSError as error:
        if path.is_symlink():
            raise ValueError(f"--key-file: {path} is a link; name the file that it leads to") from None
        raise ValueError(f"--key-file: {path}: {error.strerror}; name a readable file") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(
            f"--key-file: {path} is no UTF-8 text; save text as UTF-8, encode random bytes as base64"
        ) from None
