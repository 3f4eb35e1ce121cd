"""Stage evaluate_reversibility: what comes back with the right password, and with a wrong one (Table 8)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mema.params import load
from mema.params.deidentify import EvaluateReversibility
from mema.runtime import durable, shards, stage
from models.diseases import DISEASES
from models.identity.recogniser import load_recogniser
from models.judges.image_quality import load_perceptual, psnr
from models.judges.sign_classifier import load_sign_classifier
from models.statistics.identity_distance import identity_distance, mean_over_patients
from models.statistics.recall import top1
from tasks.deidentify.evaluation import (
    Originals,
    describe_row,
    has_recovered,
    measure_pairs,
    methods_of,
    read_originals,
)
from tasks.works.measuring import Values

STAGE = "evaluate_reversibility"
COLUMNS = ("recovered", "wrong")


@dataclass(frozen=True)
class Returned:
    """Measure: how far what came back is from its original, and which disease the judge sees in it."""

    recognisers: Mapping[str, Path]
    squeezenet: Path | None
    twin: Path | None
    classifier: Path

    def load(self) -> Callable[..., Values]:
        """Load the networks."""
        recognisers = {name: load_recogniser(path) for name, path in self.recognisers.items()}
        perceptual = load_perceptual(self.squeezenet, self.twin)
        judge = load_sign_classifier(self.classifier)

        def measure(originals: Sequence[np.ndarray], made: Sequence[np.ndarray]) -> Values:
            before, after = np.stack(originals), np.stack(made)
            found = {
                f"id_dis.{name}": identity_distance(recogniser.embed(before), recogniser.embed(after))
                for name, recogniser in recognisers.items()
            }
            found |= {"psnr": psnr(before, after), "lpips": perceptual.distance(before, after)}
            return found | {"disease": judge.predict(after).argmax(1)}

        return measure

    @property
    def files(self) -> list[Path]:
        """The files that decide about the answers."""
        others = (self.squeezenet, self.twin, self.classifier)
        return [*self.recognisers.values(), *(path for path in others if path)]


@dataclass(frozen=True, eq=False)
class World:
    """What judges the images that come back."""

    originals: Originals
    returned: Returned
    perceptual: str
    section: EvaluateReversibility


def read_world(mema: Path, classifier: Path, recognisers: Mapping[str, str], section: EvaluateReversibility) -> World:
    """Find the originals and the networks; raises ValueError where LPIPS has no trunk."""
    squeezenet, twin = (Path(path) if path else None for path in (section.squeezenet, section.classifier))
    paths = {name: Path(path) for name, path in recognisers.items()}
    perceptual = load_perceptual(squeezenet, twin).name
    return World(read_originals(mema), Returned(paths, squeezenet, twin, classifier), perceptual, section)


def reversibility_row(folder: Path, column: str, world: World) -> dict[str, Any]:
    """Return one method's row for `column` (recovered or wrong): id_dis by recogniser, psnr, lpips, med_class."""
    found = measure_pairs(
        world.originals, folder, world.returned, networks=world.returned.files, stage=STAGE,
        desc=f"{folder.name}, {column}", column=column,
    )  # fmt: skip
    row: dict[str, Any] = describe_row(folder) | {"image": column}
    row["id_dis"] = {name: _mean(found[f"id_dis.{name}"], world) for name in world.returned.recognisers}
    row["psnr"] = _mean(found["psnr"], world)
    row["lpips"] = _mean(found["lpips"], world) | {"stand_in": world.perceptual}
    return row | med_class(found["disease"], world)


def med_class(predicted: np.ndarray, world: World) -> dict[str, Any]:
    """Return Med-Class: the mean recall over the diseases, as Table 3's All, and over images as `med_class_micro`."""
    truth = np.array([DISEASES.index(name) for name in world.originals.diseases])
    section = world.section
    report = top1(predicted, truth, DISEASES, seed=section.seed, num_resamples=section.bootstrap)
    return {"med_class": report["all"], "med_class_micro": report["micro"]}


def _mean(values: np.ndarray, world: World) -> dict[str, Any]:
    section = world.section
    return mean_over_patients(values, world.originals.people, seed=section.seed, num_resamples=section.bootstrap)


def run(
    mema: Path,
    deidentified: Path,
    classifier: Path,
    metrics: Path,
    section: EvaluateReversibility,
    recognisers: Mapping[str, str],
    profile: str,
) -> int:
    """Write two rows per reversible method; return the number of images compared."""
    world = read_world(mema, classifier, recognisers, section)
    names = methods_of(deidentified)
    reversible = [name for name in names if has_recovered(deidentified / name)]
    rows = [reversibility_row(deidentified / name, column, world) for name in reversible for column in COLUMNS]
    document = {
        "profile": profile,
        "rows": rows,
        "irreversible": [name for name in names if name not in reversible],
        "notes": {
            "psnr": "dB, mean over images, 100 for equal images",
            "lpips": world.perceptual,
            "med_class": "mean recall over the diseases by the judge of Table 3",
            "ci95": "bootstrap over donors; med_class: bootstrap within diseases; med_class_micro: Wilson",
        },
    }
    durable.write_json(metrics, document)
    return len(world.originals.image_ids) * len(rows)


def main(
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    deidentified: Annotated[Path, typer.Option(help="a folder of shards per method")],
    classifier: Annotated[Path, typer.Option(help="folder of the sign classifier that judges")],
    metrics: Annotated[Path, typer.Option(help="out: Table 8 as JSON")],
) -> None:
    """Compare what comes back with the originals."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(
            mema, deidentified, classifier, metrics, params.evaluate_reversibility,
            params.evaluate_identity.recognisers, params.profile,
        )  # fmt: skip


if __name__ == "__main__":
    stage.start(main)
