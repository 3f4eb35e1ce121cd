"""Stage report_benchmark: one self-contained HTML page on the benchmark, beside the paper's figures."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mema.params import load
from mema.project import headline
from mema.runtime import durable, shards, stage
from models.annotation.adjudication import UNANIMOUS
from models.diseases import DISEASES
from models.report.benchmark.measured import NOTHING_DONE, OWN, BenchmarkGallery, BenchmarkMeasured, Patient, in_order
from models.report.benchmark.page import page as render

STAGE = "report_benchmark"
# Each metrics file and the stage that makes it.
METRICS = {
    "medical": "evaluate_medical", "identity": "evaluate_identity", "utility": "evaluate_utility",
    "reversibility": "evaluate_reversibility", "ablation": "evaluate_ablation",
}  # fmt: skip
CLINICAL, BY_HAND = (
    "clinical",
    "python -m tasks.deidentify.evaluate_clinical",
)  # only where physicians have read images
COLUMNS = ["image_id", "disease", "planned_disease", "donor_pseudonym", "decided_by"]
LARGEST_MB = 4
log = logging.getLogger(__name__)


def read_metrics(folder: Path, name: str, profile: str) -> dict[str, Any]:
    """Return a metrics file; raises ValueError where it is missing, empty of rows, or of another profile."""
    path, found = folder / f"{name}.json", headline.read(folder / f"{name}.json")
    stage = METRICS.get(name)
    remedy = f"run the stage that makes it (dvc repro {stage})" if stage else f"run {BY_HAND} again"
    if found is None:
        raise ValueError(f"{path}: not found; {remedy}")
    if "rows" not in found:
        raise ValueError(f"{path}: has no `rows`; {remedy}")
    if found.get("profile", None if stage else profile) != profile:
        raise ValueError(
            f"{path}: measured under the profile {found.get('profile')!r}, the page is of {profile!r}; figures "
            f"of other data must not stand on it; {remedy}"
        )
    return found


def measure(metrics: Path, title: str, profile: str) -> BenchmarkMeasured:
    """Return every figure of the page."""
    found = {name: read_metrics(metrics, name, profile) for name in METRICS}
    if (metrics / f"{CLINICAL}.json").exists():
        found[CLINICAL] = read_metrics(metrics, CLINICAL, profile)
    return BenchmarkMeasured(title, profile, **found)


def choose_patients(diseases: Sequence[str], people: Sequence[str], decided_by: Sequence[str]) -> list[int]:
    """Return one row of each disease: unanimous ones first, then people who are not shown yet."""
    chosen: list[int] = []
    for disease in DISEASES:
        rows = [row for row, found in enumerate(diseases) if found == disease]
        shown = {people[row] for row in chosen}
        chosen += sorted(rows, key=lambda row: (decided_by[row] != UNANIMOUS, people[row] in shown))[:1]
    return chosen


def gallery(mema: Path, deidentified: Path) -> BenchmarkGallery:
    """Return the same patients of MeMa val for every method."""
    table = shards.read_table(mema / "val", columns=COLUMNS)
    ids, diseases, planned, people, decided_by = (table[name].to_pylist() for name in COLUMNS)
    rows = choose_patients(diseases, people, decided_by)
    originals = shards.take_rows(mema / "val", rows, ["image"])["image"].to_pylist() if rows else []
    chosen = [ids[row] for row in rows]
    methods = in_order({file.parent.name for file in deidentified.glob("*/*.parquet")} - {NOTHING_DONE})
    if OWN not in methods:
        raise ValueError(f"{deidentified / OWN}: not found; run the stage that makes it (dvc repro deidentify)")
    made = {name: read_made(deidentified / name, chosen, name == OWN) for name in methods}
    patients = [
        Patient(
            disease=diseases[row],
            planned_disease=planned[row],
            original=original,
            by_method={name: made[name][place]["image"] for name in methods},
            recovered=made[OWN][place]["recovered"],
            wrong=made[OWN][place]["wrong"],
        )
        for place, (row, original) in enumerate(zip(rows, originals, strict=True))
    ]
    return BenchmarkGallery(patients, methods)


def read_made(folder: Path, image_ids: Sequence[str], reversible: bool) -> list[dict[str, Any]]:
    """Return what a method made of some images, in their order; raises ValueError where one is missing."""
    places: dict[str, int] = {}
    for row, name in enumerate(shards.read_table(folder, columns=["image_id"])["image_id"].to_pylist()):
        places.setdefault(name, row)
    missing = sum(name not in places for name in image_ids)
    if missing:
        raise ValueError(
            f"{folder}: lacks {missing} of the {len(image_ids)} images of MeMa val that the page shows; run "
            "the stage that makes it again (dvc repro deidentify)"
        )
    columns = ["image", *(["recovered", "wrong"] if reversible else [])]
    rows = [places[name] for name in image_ids]
    return shards.take_rows(folder, rows, columns).to_pylist() if rows else []


def run(metrics: Path, mema: Path, deidentified: Path, page: Path, *, title: str, profile: str) -> int:
    """Write the page; return the number of pictures on it."""
    text = render(measure(metrics, title, profile), gallery(mema, deidentified))
    size_mb = len(text.encode()) / 1e6
    if size_mb > LARGEST_MB:
        log.warning("%s: %.1f MB, more than %d; compare fewer methods", page, size_mb, LARGEST_MB)
    durable.write_text(page, text)
    return text.count('"data:image/')


def main(
    metrics: Annotated[Path, typer.Option(help="folder of medical, identity, utility ... .json")],
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    deidentified: Annotated[Path, typer.Option(help="folder of what each method made")],
    page: Annotated[Path, typer.Option(help="out: the HTML page")],
) -> None:
    """Write the page on the benchmark."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(
            metrics, mema, deidentified, page, title=params.report_benchmark.title, profile=params.profile
        )


if __name__ == "__main__":
    stage.start(main)
