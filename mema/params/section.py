"""Kinds of values in params.yaml, beside those of models/settings.py."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from models.diseases import DISEASES

PHANTOMS = Path("data/phantom")


def _known_disease(key: str) -> str:
    if key not in DISEASES:
        raise ValueError(f"{key!r} is not one of {', '.join(DISEASES)}")
    return key


def _whole_between_quotes(path: str) -> str:
    if found := [character for character in '"$`\\\n' if character in path]:
        raise ValueError(
            f"{path!r} holds {found[0]!r}, which the shell that runs a stage would read; blanks and any letters are "
            "fine: rename the folder, or link to it by another name"
        )
    return path


Option = float | int | str | bool
Disease = Annotated[str, AfterValidator(_known_disease)]
MethodName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
ReaderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
ShellWord = Annotated[str, Field(min_length=1), AfterValidator(_whole_between_quotes)]  # in dvc.yaml between ""
