"""Stage report: one self-contained HTML page of figures and pictures, made for people who were not there."""

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from mema.params import Params, load
from mema.project import headline
from mema.runtime import durable, shards, stage
from models.report.dataset.measured import Arm, Gallery, Measured
from models.report.dataset.page import page as render
from tasks.synthesize import report_pictures

STAGE = "report"
LARGEST_MB = 6
log = logging.getLogger(__name__)


def metrics(data: Path, name: str, stage: str) -> dict[str, Any]:
    """Return a stage's metrics; raises ValueError naming the stage that has to run."""
    path = data / "metrics" / f"{name}.json"
    found = headline.read(path)
    if found is None:
        raise ValueError(f"{path}: not found; run the stage that makes it (dvc repro {stage})")
    return found


def arms(plan: Path, kept: pa.Table, rejected: pa.Table) -> dict[str, Arm]:
    """Return by arm what was planned and what the screen made of it."""
    if not plan.is_file():
        raise ValueError(f"{plan}: not found; run the stage that makes it (dvc repro plan_sampling)")
    planned = Counter(shards.read_table(plan, columns=["arm"])["arm"].to_pylist())
    passed, failed = (Counter(table["arm"].to_pylist()) for table in (kept, rejected))
    names = sorted(planned | passed | failed, key=lambda name: (name != "injected", name))
    return {name: Arm(planned[name], passed[name], failed[name]) for name in names}


def num_above(rows: pa.Table, leakage: dict[str, Any]) -> int:
    """Count the images that any recogniser places above its threshold."""
    above: set[int] = set()
    for name, row in leakage["recognisers"].items():
        similarity = rows[f"similarity_{name}"].to_pylist()
        above |= {index for index, value in enumerate(similarity) if value > row["threshold"]}
    return len(above)


def measure(data: Path, tables: report_pictures.Tables, params: Params) -> Measured:
    """Return every figure of the page."""
    leakage = metrics(data, "leakage", "screen_identity")
    return Measured(
        title=params.report.title,
        profile=params.profile,
        ingested=metrics(data, "ingest_public", "ingest_public"),
        leakage=leakage,
        recheck=metrics(data, "recheck_identity", "recheck_identity"),
        distribution=metrics(data, "distribution", "select"),
        legibility=metrics(data, "legibility", "select"),
        arms=arms(data / "plan/plan.parquet", tables.kept, tables.rejected),
        num_selected=tables.selected.num_rows,
        num_above=num_above(tables.selected, leakage),
        paper_leakage=headline.PAPER_LEAKAGE,
        paper_distance=headline.PAPER_DISTANCE,
    )


def refuse_patients(params: Params) -> None:
    """Raise ValueError where real patients would be shown, whatever else the profile says."""
    if params.report.show_patients and params.profile != "phantom":
        raise ValueError(
            f"report.show_patients: true in profile {params.profile}, allowed in phantom only, whose "
            "patients are drawings; set it to false"
        )


def run(data: Path, page: Path, params: Params) -> int:
    """Write the page; return the number of pictures on it."""
    refuse_patients(params)
    tables = report_pictures.read_tables(data)
    measured = measure(data, tables, params)
    gallery: Gallery = report_pictures.gallery(
        data, tables, params.screen_identity.recognisers, show_patients=params.report.show_patients
    )
    text = render(measured, gallery)
    size_mb = len(text.encode()) / 1e6
    if size_mb > LARGEST_MB:
        log.warning("%s: %.1f MB, more than %d: mail programs may refuse it", page, size_mb, LARGEST_MB)
    durable.write_text(page, text)
    return text.count("<img ")


def main(
    data: Annotated[Path, typer.Option(help="folder of what the other stages made")],
    page: Annotated[Path, typer.Option(help="out: the HTML page")],
) -> None:
    """Write the report."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(data, page, params)


if __name__ == "__main__":
    stage.start(main)
