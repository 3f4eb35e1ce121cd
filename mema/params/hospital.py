"""Sections of params.yaml on what stays in the hospital's hands: its commands, its key and its releases."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.settings import Count, Section


class DeidFiles(Section):
    """The hospital's commands: which model, which detector, how large a photo, how dear a guess."""

    model: str
    detector: Literal["dlib", "ultraface", "insightface"]
    detector_path: str = ""
    smallest_face_px: Annotated[int, Field(ge=20)] = 40  # what is searched for, where the photo's size allows it
    doubtful_faces: Literal["hide", "refuse"] = "hide"  # whose eyes can't be placed with certainty
    judge: str = ""  # a recogniser that the method doesn't use; empty: dlib's, which is packaged
    judge_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.954
    min_size_px: Count
    max_megapixels: Annotated[float, Field(gt=0, le=178)]  # Pillow refuses more
    max_aspect: Annotated[float, Field(ge=1)]
    argon2_iterations: Annotated[int, Field(ge=1, le=16)]
    argon2_memory_kib: Annotated[int, Field(ge=128, le=1 << 20)]
    argon2_lanes: Annotated[int, Field(ge=1, le=16)]
    audit_log: str
    audit_second: str = ""  # a second place for each line: a file, or syslog:/dev/log
    reports: str = ""  # folder of the hospital for quarantine and report; empty: beside the input


ZONE = Path("data/hospital/keys")  # ignored by git and by DVC


class Release(Section):
    """What the data card says of a release; the hospital chooses its licence and terms."""

    version: Annotated[str, Field(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")]
    licence: str  # an identifier of the hub, such as cc-by-nc-sa-4.0; empty: not chosen yet
    terms: str  # who may do what; empty: not chosen yet

    @property
    def major(self) -> str:
        """Return the number that rises when images are taken back."""
        return self.version.partition(".")[0]


class ReleaseKey(Section):
    """Where the hospital's secret lies; phantoms have a published one in its stead."""

    path: str
    published: Annotated[str, Field(pattern=r"^(phantom-[a-z0-9-]+)?$")] = ""  # never what a key's file may hold

    @model_validator(mode="after")
    def _one_key_in_the_zone(self) -> Self:
        if bool(self.path) == bool(self.published):
            raise ValueError(
                "release_key: path and published are "
                + ("both given" if self.path else "both empty")
                + "; give a hospital path alone, phantoms published alone"
            )
        if self.path and not _stays_inside(self.path):
            raise ValueError(
                f"release_key.path: {self.path!r} may leave with the checkout, or is another file in each one; "
                f"allowed: below {ZONE}, or an absolute path outside the checkout"
            )
        return self


def _stays_inside(path: str) -> bool:
    """Tell whether a path is one that neither git nor DVC takes along."""
    here, full = Path.cwd(), Path(os.path.abspath(os.path.expanduser(path)))
    if full.is_relative_to(here):
        return full.is_relative_to(here / ZONE)
    return os.path.isabs(os.path.expanduser(path))
