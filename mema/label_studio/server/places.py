"""Where everything of the annotation lies, and the accounts file: a folder that neither git nor DVC sees."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mema.runtime import durable

ROOT = Path(".label_studio")
SERVED_LINK = "images"
VENV_VARIABLE = "MEMA_LABEL_STUDIO_VENV"


@dataclass(frozen=True)
class Places:
    """The files and folders below one root."""

    root: Path = ROOT

    @property
    def venv(self) -> Path:
        """The server's own environment; MEMA_LABEL_STUDIO_VENV names one that serves several roots."""
        return Path(os.environ.get(VENV_VARIABLE) or self.root / "venv")

    @property
    def data(self) -> Path:
        """Database and secret key of the server."""
        return self.root / "data"

    @property
    def files(self) -> Path:
        """The pictures, one <key>.png a task: no name tells which two show the same image."""
        return self.root / "files"

    @property
    def served(self) -> Path:
        """The server's document root.

        It holds one link, `images`, to `files`. A reader may declare any folder below the document root as a
        storage of his own, so nothing but images may lie there.
        """
        return self.root / "served"

    @property
    def accounts(self) -> Path:
        """Addresses, passwords and tokens of all readers; mode 0600."""
        return self.root / "accounts.json"

    @property
    def secret(self) -> Path:
        """What keys and orders of tasks are drawn from; mode 0600."""
        return self.root / "secret"

    @property
    def proposals(self) -> Path:
        """The log of the SAM backend."""
        return self.root / "proposals.jsonl"

    def pid(self, name: str) -> Path:
        """The file that says which process is the running `server` or `backend`."""
        return self.root / f"{name}.pid"

    def log(self, name: str) -> Path:
        """What that process prints."""
        return self.root / f"{name}.log"


@dataclass(frozen=True)
class Account:
    """One reader's account; its organisation is his alone."""

    email: str
    password: str
    token: str
    user_id: int
    organisation: int


@dataclass(frozen=True)
class Accounts:
    """The address of the server, and an account per reader and senior."""

    url: str
    readers: dict[str, Account]

    def of(self, name: str, path: Path) -> Account:
        """Return one reader's account; `path` is what the error names."""
        if name not in self.readers:
            raise ValueError(
                f"annotate.readers: {name!r} has no account in {path}; run make label-studio, which makes it"
            )
        return self.readers[name]


def read_accounts(places: Places) -> Accounts:
    """Read accounts.json; raises ValueError where it is missing or damaged."""
    path = places.accounts
    try:
        content = json.loads(path.read_text())
        readers = {name: Account(**account) for name, account in content["readers"].items()}
        return Accounts(content["url"], readers)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; start the server first (make label-studio)") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path}: damaged; move it away and run make label-studio, which gives every reader a new password"
        ) from None


def write_accounts(places: Places, accounts: Accounts) -> None:
    """Write accounts.json, readable by its owner only, from the first byte on."""
    readers: dict[str, Any] = {name: vars(account) for name, account in accounts.readers.items()}
    with private():
        durable.write_json(places.accounts, {"url": accounts.url, "readers": readers})


def read_secret(places: Places) -> bytes:
    """Return the secret of a root, made where there is none; raises ValueError on a damaged one."""
    if not places.secret.exists():
        with private():
            durable.write_text(places.secret, secrets.token_hex(32) + "\n")
    text = places.secret.read_text(errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(
            f"{places.secret}: not 64 hex digits; put your backup back. If there is none, delete it: "
            f"manifest.json knows the tasks that were pushed, and a new secret serves for further ones"
        )
    return bytes.fromhex(text)


@contextmanager
def private() -> Iterator[None]:
    """Let files that are written meanwhile be readable by their owner only, from the first byte on."""
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)
