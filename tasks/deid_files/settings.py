"""Section `deid_files` of params.yaml, and what the commands build from it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from pydantic import ValidationError

from models.deid.passwords import KdfParameters
from models.photos.decoding import Limits
from models.photos.every_face import load_eye_finder
from models.photos.reinsertion import Placement, place_by_eyes, place_centre
from models.photos.rejection import Rejection
from tasks.deid_params import DeidFiles

if TYPE_CHECKING:
    from models.deid.deidentifier import Deidentifier

DRAWN_PROFILES = ("phantom", "photos")
Finder = Callable[[np.ndarray, int], list[Placement]]


class ModelError(ValueError):
    """A model that is missing or damaged: no photo can be worked on."""


class Settings(DeidFiles):
    """The section, and what the commands make of it."""

    @property
    def limits(self) -> Limits:
        """Return what a photo may measure."""
        return Limits(self.min_size_px, self.max_megapixels, self.max_aspect)

    @property
    def kdf(self) -> KdfParameters:
        """Return Argon2id's cost for what is newly sealed."""
        return KdfParameters(self.argon2_iterations, self.argon2_memory_kib, self.argon2_lanes)


def load_settings(path: Path = Path("params.yaml")) -> Settings:
    """Read the section; raises ValueError that names the field."""
    try:
        return Settings.model_validate((yaml.safe_load(path.read_text()) or {}).get("deid_files"))
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; copy one of profiles/*.yaml there") from None
    except ValidationError as error:
        lines = [f"deid_files.{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
        raise ValueError(f"{path}: " + "; ".join(lines)) from None


def refuse_drawn_model(path: Path = Path("params.yaml")) -> None:
    """Raise ValueError where the profile's model has seen drawn faces only: it hides nobody on a photograph."""
    profile = (yaml.safe_load(path.read_text()) or {}).get("profile")
    if profile in DRAWN_PROFILES:
        raise ValueError(
            f"{path}: the model of profile {profile} has seen drawn faces only, and people stay recognisable on "
            "photographs; train one with profiles/paper.yaml, or say --rehearse to try the commands"
        )


@dataclass(frozen=True)
class Network:
    """The de-identifier in a folder, loaded when the first face needs it."""

    folder: Path

    @cached_property
    def sha256(self) -> str:
        """Return the digest of config.json, which holds those of all other files."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise ModelError(f"model: no {path}; run `dvc repro train_deid`, or name a folder with --model")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    @cached_property
    def deidentifier(self) -> "Deidentifier":
        """Load the networks, and torch with them."""
        os.environ.setdefault(
            "TRANSFORMERS_VERBOSITY", "error"
        )  # it warns of processors that nobody asks for
        from models.deid.deidentifier import load_deidentifier

        try:
            return load_deidentifier(self.folder)
        except (ValueError, OSError) as error:
            raise ModelError(str(error)) from None


def face_finder(settings: Settings, aligned: bool) -> Finder:
    """Return (picture, crop's size) -> where its faces are; it raises Rejection("no_face")."""
    if aligned:
        return lambda rgb, size_px: [place_centre(rgb.shape, size_px)]
    find = load_eye_finder(settings.detector, settings.detector_path)

    def places(rgb: np.ndarray, size_px: int) -> list[Placement]:
        if not (faces := find(rgb)):
            raise Rejection("no_face", "if it is an aligned face, as MeMa's are, say --aligned")
        return [place_by_eyes(eyes, size_px) for eyes in faces]

    return places
