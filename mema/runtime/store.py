"""Where unfinished shards live and how checkpoints travel: one fsspec URI, a folder here or a bucket.

MEMA_STORE names it (file, s3, gs, ... as fsspec knows them; credentials come from its own environment). Without it,
unfinished work stays in .scratch of this checkout. A store holds patients' pixels while a stage runs: it is
`restricted`.
"""

import atexit
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from mema.runtime import durable

SCRATCH = Path(".scratch")
COMPLETE = ".complete"
WAITS_SECONDS = (0.5, 1, 2, 4, 8, 16)  # between attempts, when the store answers with an error or not at all
Found = TypeVar("Found")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Store:
    """Named bytes below one URI, each written whole or not at all. Travels by pickle."""

    uri: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        filesystem, path = fsspec.core.url_to_fs(self.uri, use_listings_cache=False)
        return filesystem, path.rstrip("/")

    def __getstate__(self) -> dict[str, str]:  # open connections stay where they are
        return {"uri": self.uri}

    @property
    def folder(self) -> Path | None:
        """The local folder that this store is, or None for a remote one."""
        filesystem, path = self._place
        return Path(path) if isinstance(filesystem, LocalFileSystem) else None

    def write(self, name: str, data: bytes) -> None:
        """Write one object, replacing what stood there."""
        if self.folder is not None:
            durable.write_bytes(self.folder / name, data)
        else:
            filesystem, path = self._place
            self._again(lambda: filesystem.pipe_file(f"{path}/{name}", data))

    def read(self, name: str) -> bytes | None:
        """Return one object's bytes, or None where there is none."""
        filesystem, path = self._place
        try:
            return self._again(lambda: filesystem.cat_file(f"{path}/{name}"))
        except FileNotFoundError:
            return None

    def names(self, below: str) -> list[str]:
        """Return the names of all objects below a prefix, sorted."""
        filesystem, path = self._place
        try:
            found = self._again(lambda: filesystem.find(f"{path}/{below}"))
        except FileNotFoundError:
            return []
        return sorted(name.removeprefix(f"{path}/") for name in found)

    def remove(self, below: str) -> None:
        """Remove all objects below a prefix."""
        filesystem, path = self._place
        if self.names(below):
            self._again(lambda: filesystem.rm(f"{path}/{below}", recursive=True))

    def _again(self, call: Callable[[], Found]) -> Found:
        """Return what `call` does; a remote store that is out of order is asked again, and again later.

        Libraries of clouds have errors of their own, so every error but a plain answer counts as out of order.
        Raises ConnectionError when the store stays away.
        """
        if self.folder is not None:
            return call()
        for wait in (*WAITS_SECONDS, None):
            try:
                return call()
            except (FileNotFoundError, PermissionError):
                raise
            except Exception as error:
                if wait is None:
                    raise ConnectionError(
                        f"MEMA_STORE: {self.uri} does not answer ({type(error).__name__}); when it does, the same "
                        "command goes on"
                    ) from None
                log.warning("store: %s; again in %g s", type(error).__name__, wait)
                time.sleep(wait)
        raise AssertionError


def scratch() -> Store:
    """Return the store of unfinished work, as the environment names it."""
    return Store(os.environ.get("MEMA_STORE", "").rstrip("/") or str(SCRATCH.absolute()))


@dataclass(frozen=True)
class Shipped:
    """A file or folder that a worker finds where it lies, or fetches from the store."""

    path: Path
    digest: str
    store: Store

    def received(self) -> Path:
        """Return a local path with exactly these bytes; what was fetched goes when this process ends."""
        if self.path.exists() and durable.fingerprint(self.path) == self.digest:
            return self.path
        return _fetch(self)


def ship(value: Any, store: Store) -> Any:
    """Return `value` with every Path in it put into the store, once for equal bytes.

    Within one machine (a store that is a local folder) nothing is copied: paths become absolute.
    """

    def send(path: Path) -> Path | Shipped:
        path = path.absolute()
        if store.folder is not None or not path.exists():
            return path
        digest = durable.fingerprint(path)
        prefix = f"inputs/{digest}"
        if store.read(f"{prefix}/{COMPLETE}") is None:
            for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
                store.write(f"{prefix}/{(Path(path.name) / file.relative_to(path)).as_posix()}", file.read_bytes())
            store.write(f"{prefix}/{COMPLETE}", b"")
        return Shipped(path, digest, store)

    return _replaced(value, Path, send)


def receive(value: Any) -> Any:
    """Return `value` with everything that was shipped as local paths again."""
    return _replaced(value, Shipped, Shipped.received)


def _replaced(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Return `value` with each object of a kind changed, in dataclasses, dictionaries and tuples too."""
    if isinstance(value, kind):
        return change(value)
    if is_dataclass(value) and not isinstance(value, (type, Store)):
        return replace(value, **{f.name: _replaced(getattr(value, f.name), kind, change) for f in fields(value)})
    if isinstance(value, dict):
        return {key: _replaced(item, kind, change) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_replaced(item, kind, change) for item in value)
    return value


def _fetch(shipped: Shipped) -> Path:
    folder, prefix = Path(tempfile.mkdtemp(prefix="mema-")), f"inputs/{shipped.digest}"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in shipped.store.names(prefix):
        local = folder / name.removeprefix(f"{prefix}/")
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes(shipped.store.read(name) or b"")
    path = folder / shipped.path.name
    if durable.fingerprint(path) != shipped.digest:
        raise ValueError(
            f"MEMA_STORE: inputs/{shipped.digest} is not what was put there; remove it and run the stage again"
        )
    return path
