"""manifest.json of what was pushed; its reading side is models/annotation/manifest.py."""

from pathlib import Path
from typing import Any

from models.annotation.manifest import Manifest, Reader, read_json
from models.annotation.manifest import read_manifest as read
from tasks import durable

NAME = "manifest.json"


def read_manifest(folder: Path) -> Manifest:
    """Return what was pushed; raises ValueError where nothing was, or where the readers are simulated."""
    if not (folder / NAME).exists():
        raise ValueError(f"{folder / NAME}: not found; push first (python -m tasks.label_studio.push)")
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
    durable.write_json(folder / NAME, document)


def _refuse_simulated(folder: Path, source: str) -> None:
    if source != "label_studio":
        raise ValueError(f"{folder}: holds {source} readers; what real ones say goes to data/label_studio")
