"""manifest.json of what was pushed; its reading side is models/annotation/manifest.py."""

from pathlib import Path
from typing import Any

from mema.label_studio.server.places import private
from mema.runtime import durable
from models.annotation.manifest import Manifest, Reader, read_json
from models.annotation.manifest import read_manifest as read

NAME = "manifest.json"


def read_manifest(folder: Path) -> Manifest:
    """Return what was pushed; raises ValueError where nothing was, or where the readers are simulated."""
    if not (folder / NAME).exists():
        raise ValueError(f"{folder / NAME}: not found; push first (mema annotate push)")
    manifest = read(folder / NAME)
    _refuse_simulated(folder, manifest.source)
    return manifest


def remember(folder: Path, version: str, name: str, reader: Reader) -> None:
    """Put one reader's entry into the manifest, the others' staying as they are."""
    before: dict[str, Any] = read_json(folder / NAME) if (folder / NAME).exists() else {}
    _refuse_simulated(folder, before.get("source", "label_studio"))
    entry = reader.model_dump(mode="json", by_alias=True, exclude_none=True)
    readers = {**before.get("readers", {}), name: entry}
    document = {"source": "label_studio", "label_studio_version": version, "readers": readers}
    with private():  # it is the key to the hidden repeats
        durable.write_json(folder / NAME, document)


def known_tasks(folder: Path) -> dict[str, dict[tuple[str, int], str]]:
    """Return reader -> (image_id, copy) -> key of what was pushed before; empty before the first push."""
    if not (folder / NAME).exists():
        return {}
    before = read_manifest(folder)
    return {
        name: {(task.image_id, task.repeat): task.key for task in reader.known}
        for name, reader in before.readers.items()
    }


class Shown:
    """Which image each task shows: the manifest's word, read again where a push has changed it."""

    def __init__(self, path: Path):
        self._path, self._read, self._images = path, (0, 0), {}

    def image_of(self, key: str) -> str:
        """Return the image_id; raises LookupError on a task that no push knows."""
        if key not in self._images:
            self._refresh()
        if key not in self._images:
            raise LookupError(f"key: stands in no task of {self._path}; push the tasks again")
        return self._images[key]

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return
        if (state.st_mtime_ns, state.st_ino) != self._read:
            readers = read(self._path).readers.values()
            self._images = {task.key: task.image_id for reader in readers for task in reader.known}
            self._read = state.st_mtime_ns, state.st_ino


def _refuse_simulated(folder: Path, source: str) -> None:
    if source != "label_studio":
        raise ValueError(f"{folder}: holds {source} readers; what real ones say goes to data/label_studio")
