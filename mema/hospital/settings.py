"""Section `deid_files` of params.yaml, and what the commands build from it."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from pydantic import ValidationError

from mema.hospital.audit.sink import Sink
from mema.params.hospital import DeidFiles
from models.concealing.look import Judge
from models.concealing.passwords import KdfParameters
from models.concealing.reinsertion import Placement, place_centre
from models.identity.recogniser import load_recogniser
from models.images import image_id
from models.photos.alignment import LEFT_EYE, RIGHT_EYE, packaged_predictor
from models.photos.decoding import Limits
from models.photos.every_face import FRAMED, Face, Seeker, load_seeker
from models.photos.geometry import Geometry
from models.photos.regions import Region, alike
from models.photos.rejection import Rejection

if TYPE_CHECKING:
    from models.deid.deidentifier import Deidentifier

PACKAGED_JUDGE = "dlib_face_recognition_resnet_model_v1.dat"


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

    @property
    def logs(self) -> dict[str, Path | None]:
        """Return the audit log's files by their setting."""
        second = Sink(self.audit_second).file
        return {"deid_files.audit_log": Path(self.audit_log), "deid_files.audit_second": second}


def load_settings(path: Path = Path("params.yaml")) -> Settings:
    """Read the section; raises ValueError that names the field."""
    try:
        whole = yaml.safe_load(path.read_text())
        return Settings.model_validate(whole.get("deid_files") if isinstance(whole, dict) else whole)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; `mema profile NAME` writes it, `mema profile` lists the names") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ValueError(
            f"{path}{line}: is no YAML; mend it, or write it again with `mema profile NAME --force`"
        ) from None
    except ValidationError as error:
        lines = [f"deid_files.{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
        raise ValueError(f"{path}: " + "; ".join(lines)) from None


@dataclass(frozen=True)
class Network:
    """The de-identifier in a folder, loaded when the first face needs it."""

    folder: Path
    rehearsing: bool = False  # a model of drawn faces may try its hand at photographs; the look at them stands

    @cached_property
    def card(self) -> dict[str, Any]:
        """Return what the model was trained on, as models.deid.deidentifier sealed it."""
        from models.deid.card import read_card

        try:
            return read_card(self.folder)
        except ValueError as error:
            raise ModelError(str(error)) from None

    @property
    def image_size_px(self) -> int:
        """Return the side of the faces that the model takes."""
        return int(self.card["image_size_px"])

    @cached_property
    def _known(self) -> frozenset[str]:
        from models.deid.card import read_known

        return read_known(self.folder)

    @property
    def knows_all_it_takes(self) -> bool:
        """Say whether it is a model of drawn faces at work, which takes the pictures of its own data set alone."""
        return self.card["domain"] != "photograph" and not self.rehearsing

    def refuse_unknown(self, rgb: np.ndarray) -> None:
        """Raise Rejection where a model of drawn faces meets anything but the very pictures of its own data set."""
        if not self.knows_all_it_takes:
            return
        if image_id(np.ascontiguousarray(rgb)) not in self._known:
            raise Rejection(
                "model_of_drawn_faces",
                "it hides nobody on photographs, and takes its own data set's pictures only; name a model that was "
                "trained on photographs with --model",
            )

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
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it warns of processors that nobody asks for
        from models.deid.deidentifier import load_deidentifier

        try:
            return load_deidentifier(self.folder)
        except (ValueError, OSError) as error:
            raise ModelError(str(error)) from None


@dataclass(frozen=True)
class Eyes:
    """What looks at photos: for faces, and for who is still recognised on the result."""

    seeker: Seeker
    judge: Judge
    aligned: bool = False  # the photo is framed as MeMa's pictures are, so its face needs no finding

    def first(self, rgb: np.ndarray, size_px: int) -> list[Placement]:
        """Return what is replaced whatever is found: the central square of an aligned picture."""
        return [place_centre(rgb.shape, size_px)] if self.aligned else []

    def faces(self, rgb: np.ndarray) -> list[Face]:
        """Return every face; an aligned picture has one in its frame at least, found or not."""
        found = self.seeker.faces(rgb)
        if not self.aligned:
            return found
        place = place_centre(rgb.shape, 1)
        middle, side = place.corners().mean(axis=0) + 0.5, 1 / place.scale
        eyes = middle + (np.array([LEFT_EYE, RIGHT_EYE]) - 0.5) * side
        framed = Region(float(middle[0]), float(middle[1]), 0.8 * side, 0.0, FRAMED, 1.0)
        same = [region for face in found for region in face.regions if alike(framed, region)]
        others = [face for face in found if not all(region in same for region in face.regions)]
        return [Face((framed, *same), Geometry(eyes - 0.5, 0.0, 0.0)), *others]


def load_eyes(settings: Settings, network: "Network", aligned: bool) -> Eyes:
    """Load detectors and judge; raises ValueError where the model was trained against that very judge."""
    path = Path(settings.judge) if settings.judge else packaged_predictor().with_name(PACKAGED_JUDGE)
    recogniser = load_recogniser(path)
    used = network.card.get("recogniser_sha256")
    if used == _sha256(path):
        raise ValueError(
            f"deid_files.judge: {path.name} is the recogniser that the model was trained against, so it is the one "
            "that the model fools; name another"
        )
    seeker = load_seeker(settings.detector, settings.detector_path, settings.smallest_face_px)
    return Eyes(seeker, Judge(recogniser, settings.judge_threshold), aligned)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
