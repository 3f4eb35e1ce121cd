"""The passphrase: from a file or a prompt, never from the command line, where every process reads it."""

import getpass
import os
import stat
import sys
from pathlib import Path

from models.deid.passwords import KdfParameters, Passphrase

MAX_BYTES = 4096


def read_passphrase(
    key_file: Path | None, kdf: KdfParameters, what: str = "Passphrase", confirm: bool = False
) -> Passphrase:
    """Return the passphrase of a file (its last line break is not part of it) or of the prompt.

    `confirm` asks twice, for what nobody could open after a slip. Raises ValueError with the remedy.
    """
    if key_file is not None:
        return Passphrase(_read(key_file), kdf)
    if not sys.stdin.isatty():
        raise ValueError("--key-file: needed where no terminal can ask for the passphrase")
    text = getpass.getpass(f"{what}: ")
    if confirm and getpass.getpass(f"{what} again: ") != text:
        raise ValueError("passphrase: the two are not the same; start again")
    return Passphrase(text, kdf)


def _read(path: Path) -> str:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise ValueError(f"--key-file: {path} is no file of at most {MAX_BYTES} bytes of text")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--key-file: {path}: {error.strerror}; name a readable file") from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        print(f"warning: others may read {path}; run `chmod 600 {path}`", file=sys.stderr)
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"--key-file: {path} is no UTF-8 text; encode random bytes as base64") from None
