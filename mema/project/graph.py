"""The stages as dvc.yaml lists them, and what their `meta` says of when and where they run."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = Path("dvc.yaml")
OTHERWISE_HOURS = 24


class Meta(BaseModel):
    """`meta` of a stage in dvc.yaml, which changes no result."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    flow: str  # the flow that runs it, and its folder in tasks/
    gpu: bool = False  # it takes turns on a machine's GPU
    hours: float = Field(OTHERWISE_HOURS, gt=0)  # after which it is ended
    before_readers: bool = False  # the readers read what it makes


def stages(flow: str = "", file: Path = FILE) -> list[str]:
    """Return the names of a flow's stages, or of all, in the order of the file."""
    return [name for name, meta in metas(file).items() if meta.flow == flow] if flow else list(_read(file))


def metas(file: Path = FILE) -> dict[str, Meta]:
    """Return the meta of every stage, in the order of the file; raises ValueError where one is not as it should be."""
    return {name: _meta(name, entry, file) for name, entry in _read(file).items()}


def _read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())["stages"]


def _meta(name: str, entry: dict[str, Any], file: Path) -> Meta:
    try:
        return Meta(**(entry.get("meta") or {}))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ValueError(
            f"{file}: meta of {name}: {wrong}; write meta: {{flow: <folder in tasks>, gpu: true, hours: 72}}"
        ) from None
