"""What was given to whom: the manifest that stands beside the exports, the key to the hidden repeats."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Round = Literal["reading", "adjudication"]
Name = Annotated[str, Field(pattern=r"^[\w-]+$")]


class Record(BaseModel):
    """A frozen part of the manifest; keys that later versions add are none of our business."""

    model_config = ConfigDict(frozen=True)


class Assigned(Record):
    """One task of one reader; `repeat` is 0, or 1 for the hidden second showing of an image."""

    key: str
    image_id: str
    repeat: int = Field(alias="copy", ge=0)


class Reader(Record):
    """A reader's account and project."""

    project: int
    round: Round
    user_id: int | None = None
    email: str = ""
    tasks: tuple[Assigned, ...]
    retired: tuple[Assigned, ...] = ()  # of images that were selected once; their keys stay theirs
    confusion: tuple[tuple[float, ...], ...] | None = None  # of a simulated reader: P(said | true)

    @model_validator(mode="after")
    def _has_an_account_and_unique_keys(self) -> Self:
        if self.user_id is None and not self.email:
            raise ValueError("neither user_id nor email, so no annotation could be told to be this reader's")
        if len({task.key for task in self.known}) < len(self.known):
            raise ValueError("the same key stands for two tasks")
        return self

    @property
    def known(self) -> tuple[Assigned, ...]:
        """All tasks that were ever given to this reader."""
        return (*self.tasks, *self.retired)

    def owns(self, completed_by: Any) -> bool:
        """Tell whether `completed_by` of an annotation (a user id, or an object with id and email) is theirs."""
        if isinstance(completed_by, dict):
            email = str(completed_by.get("email") or "").lower()
            return self.owns(completed_by.get("id")) or bool(email and email == self.email.lower())
        return completed_by is not None and completed_by == self.user_id


class Manifest(Record):
    """All readers by name, in their order; the senior's round is adjudication."""

    source: Literal["label_studio", "simulated"]
    readers: dict[Name, Reader]

    def of_round(self, wanted: Round) -> dict[str, Reader]:
        """Return the readers of one round, in the order of the manifest."""
        return {name: reader for name, reader in self.readers.items() if reader.round == wanted}


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest; raises ValueError that names the file and the field."""
    try:
        manifest = Manifest.model_validate(read_json(path))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors()]
        raise ValueError(f"{path}: {'; '.join(lines[:5])}; pull the annotations again") from None
    if not manifest.of_round("reading"):
        raise ValueError(f"{path}: readers: none of round 'reading'; push and pull the annotations first")
    return manifest


def read_json(path: Path) -> Any:
    """Read JSON; raises ValueError that names the file and the place where it breaks."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; pull the annotations (or run the stage that makes it)") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no whole JSON ({error}); pull the annotations again") from None
