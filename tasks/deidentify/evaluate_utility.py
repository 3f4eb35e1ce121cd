"""Stage evaluate_utility: how far landmarks and gaze move (Table 7)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mema.params import load
from mema.params.deidentify import EvaluateUtility
from mema.runtime import durable, shards, stage
from models.judges.gaze import Gaze, gaze_error
from models.judges.landmarks import PARTS, landmark_error, load_landmarks
from models.statistics.identity_distance import mean_over_patients, unavailable
from tasks.deidentify.evaluation import Originals, describe_row, measure_images, methods_of, read_originals
from tasks.works.measuring import Values

STAGE = "evaluate_utility"
ANGLES = ("pitch", "yaw")
DRAWN = "the gaze networks know photographs; their answers on drawn faces mean nothing"
NOT_NAMED = "no gaze network named in evaluate_utility.gaze and head_pose"
Network = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Looking:
    """Measure: landmarks and gaze, where their networks are there; no predictor means the packaged one."""

    landmarks: bool
    predictor: Path | None
    gaze: Path | None
    head_pose: Path | None

    def load(self) -> Callable[..., Values]:
        """Load the networks."""
        networks: dict[str, Network] = {}
        if self.landmarks:
            networks["landmark"] = load_landmarks(str(self.predictor or ""))
        if self.gaze and self.head_pose:
            networks["gaze"] = Gaze(self.gaze, self.head_pose)
        return lambda images: {name: network(np.stack(images)) for name, network in networks.items()}

    @property
    def files(self) -> list[Path]:
        """The files that decide about the answers."""
        return [path for path in (self.predictor, self.gaze, self.head_pose) if path]


@dataclass(frozen=True, eq=False)
class World:
    """The networks, what they say of the originals, and why one of them is missing."""

    originals: Originals
    looking: Looking
    missing: dict[str, str]
    values: Values
    section: EvaluateUtility


def find_networks(section: EvaluateUtility, profile: str) -> tuple[Looking, dict[str, str]]:
    """Return the networks that can be had, and the reason for each that cannot.

    A network that is named and cannot be loaded is an error; the packaged predictor may be absent.
    """
    missing: dict[str, str] = {}
    try:
        load_landmarks(section.predictor)
    except ValueError as error:
        if section.predictor:
            raise
        missing["landmark"] = str(error)
    predictor, gaze, head_pose = (
        Path(path) if path else None for path in (section.predictor, section.gaze, section.head_pose)
    )
    if not (gaze and head_pose):
        missing["gaze"] = DRAWN if profile == "phantom" else NOT_NAMED
        gaze = head_pose = None
    return Looking("landmark" not in missing, predictor, gaze, head_pose), missing


def read_world(mema: Path, section: EvaluateUtility, profile: str) -> World:
    """Find landmarks and gaze of the originals."""
    originals = read_originals(mema)
    looking, missing = find_networks(section, profile)
    return World(originals, looking, missing, _values(originals.folder, originals, looking, "originals"), section)


def _values(folder: Path, originals: Originals, looking: Looking, desc: str) -> Values:
    return measure_images(folder, originals.image_ids, looking, networks=looking.files, stage=STAGE, desc=desc)


def utility_row(folder: Path, world: World) -> dict[str, Any]:
    """Return one method's row: landmark.{all, eye, mouth, nose} in px, gaze.{pitch, yaw} in degrees."""
    found = _values(folder, world.originals, world.looking, folder.name)
    row: dict[str, Any] = describe_row(folder)
    row["landmark"] = {
        part: _mean("landmark", world, lambda a, b, part=part: landmark_error(a, b, part), found) for part in PARTS
    }
    row["gaze"] = {
        angle: _mean("gaze", world, lambda a, b, index=index: gaze_error(a, b)[:, index], found)
        for index, angle in enumerate(ANGLES)
    }
    return row


def _mean(
    network: str, world: World, error: Callable[[np.ndarray, np.ndarray], np.ndarray], found: Values
) -> dict[str, Any]:
    if network in world.missing:
        return unavailable(world.missing[network])
    section = world.section
    values = error(world.values[network], found[network])
    return mean_over_patients(values, world.originals.people, seed=section.seed, num_resamples=section.bootstrap)


def notes(world: World) -> dict[str, Any]:
    """Return what the figures stand for."""
    first = world.originals.images(world.originals.image_ids[:1])
    return {
        "landmark": f"mean distance in px of images of {first.shape[1]} px, dlib's 68 points in a fixed box",
        "gaze": "absolute difference in degrees, gaze-estimation-adas-0002 in fixed squares around the eyes",
        "ci95": "bootstrap over donors",
    }


def run(mema: Path, deidentified: Path, metrics: Path, section: EvaluateUtility, profile: str) -> int:
    """Write a row per method; return the number of images."""
    world = read_world(mema, section, profile)
    rows = [utility_row(deidentified / name, world) for name in methods_of(deidentified)]
    durable.write_json(metrics, {"profile": profile, "rows": rows, "notes": notes(world)})
    return len(world.originals.image_ids) * len(rows)


def main(
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    deidentified: Annotated[Path, typer.Option(help="a folder of shards per method")],
    metrics: Annotated[Path, typer.Option(help="out: Table 7 as JSON")],
) -> None:
    """Measure how far every method moves landmarks and gaze."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(mema, deidentified, metrics, params.evaluate_utility, params.profile)


if __name__ == "__main__":
    stage.start(main)
