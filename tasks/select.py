"""Stage select: exact quotas from what survived the screen, Table 2, and whether the signs are legible."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from tqdm import tqdm

from models.attributes.deepface import estimate
from models.conditions import DISEASES, GENDERS
from models.diffusion.images import decode
from models.metrics.cohort_profile import age_labels
from models.metrics.disease_classifier import DiseaseClassifier, load_classifier, predict
from models.metrics.distribution import Attributes, Profile, middle_ages, table_2
from models.metrics.legibility import legibility as read_signs
from models.metrics.quotas import cell_quotas, fill_quotas, filling_factor, shortfall
from tasks import durable, schemas, shards, stage
from tasks.params import Params, Select, load

STAGE = "select"
BATCH = 256
SHARD_ROWS = 256
WORST = 3  # short cells that an error names; all of them stand in the metrics
COLUMNS = ["plan_row", "arm", "disease", "severity", "age_bin", "gender"]
NOTES = {
    "age": "Wasserstein-1 in years / 100. Both sides estimated by the same network, so its bias cancels.",
    "ci95": "Percentile bootstrap over the images; the patients' photos are the fixed target.",
    "disease": "Discrete metric: Wasserstein-1 is the total variation. Patients' as recorded, images' as {}.",
    "gender": "Discrete metric: Wasserstein-1 is the total variation. Both sides estimated likewise.",
    "histograms": "Patients': the published profile. Images': as Table 2 sees them.",
    "planned": "Planned cells against the published profile; ages by the middles of their bins.",
}
log = logging.getLogger(__name__)


def planned(rows: pa.Table, profile: Profile) -> Attributes:
    """Return what the plan asked for; the age is the middle of its bin."""
    labels = age_labels(profile["age_edges"])
    unknown = sorted(set(rows["age_bin"].to_pylist()) - set(labels))
    if unknown:
        raise ValueError(f"age_bin: {unknown[0]!r} is none of {labels}; run plan_sampling and sample again")
    bins = _index(rows["age_bin"], labels)
    return Attributes(
        _index(rows["disease"], DISEASES), middle_ages(profile)[bins], _index(rows["gender"], GENDERS)
    )


def _index(values: pa.ChunkedArray, names: tuple[str, ...] | list[str]) -> np.ndarray:
    return np.array([names.index(value) for value in values.to_pylist()], np.int64)


def look(
    folder: Path,
    rows: np.ndarray,
    disease: np.ndarray,
    home: Path,
    judge: DiseaseClassifier | None,
    desc: str,
) -> Attributes:
    """Estimate age and gender of the rows of all shards, and the disease where there is a judge of it.

    `rows` are sorted; `disease` has one entry each, and stands where nobody judges.
    """
    ages, genders, diseases, start = [np.zeros(0)], [], [], 0
    with tqdm(total=len(rows), desc=desc, unit=" images") as bar:
        for batch in _image_batches(folder):
            wanted = rows[(rows >= start) & (rows < start + len(batch))] - start
            start += len(batch)
            if not len(wanted):
                continue
            images = [decode(batch[row].as_py()) for row in wanted.tolist()]
            age, gender = estimate(images, home)
            ages.append(age.astype(np.float64))
            genders += [GENDERS.index(name) for name in gender]
            if judge:
                diseases += predict(judge, images).argmax(1).tolist()
            bar.update(len(images))
    seen = np.array(diseases, np.int64) if judge else disease
    return Attributes(seen, np.concatenate(ages), np.array(genders, np.int64))


def _image_batches(folder: Path) -> Iterator[pa.Array]:
    for file in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["image"]):
            yield batch["image"]


def selected_parts(kept: Path, rows: np.ndarray) -> Iterator[pa.Table]:
    """Yield the rows of all shards in the order given, a part at a time."""
    for first in range(0, len(rows), SHARD_ROWS):
        table = shards.take_rows(kept, rows[first : first + SHARD_ROWS].tolist())
        prefix = "similarity_"
        names = [name.removeprefix(prefix) for name in table.column_names if name.startswith(prefix)]
        yield table.cast(schemas.selected(names))


def refuse_shortfall(short: dict[str, Any], section: Select, factor: float) -> None:
    """Raise ValueError where more images miss than select.max_shortfall allows: which, and what to do."""
    wanted = section.num_images
    if short["share"] <= section.max_shortfall and short["total"] < wanted:
        if short["total"]:
            log.warning("%s: %d of %d images are short; see the metrics", STAGE, short["total"], wanted)
        return
    worst = ", ".join(
        f"{cell['disease']} {cell['age_bin']} {cell['gender']} ({cell['available']} of {cell['wanted']})"
        for cell in short["cells"][:WORST]
    )
    partly = [cell for cell in short["cells"] if cell["available"]]
    empty = len(short["cells"]) - len(partly)
    advice = []
    if partly:
        advice.append(
            f"raise plan_sampling.over_generation from {factor:g} to {filling_factor(partly, factor):g}"
        )
    if empty:
        advice.append(f"look at why nothing survived in {empty} cells (data/screened/rejected)")
    raise ValueError(
        f"select.max_shortfall: {short['total']} of {wanted} images are short ({short['share']:.1%}, "
        f"allowed {section.max_shortfall:.1%}) in {len(short['cells'])} cells; worst: {worst}; "
        + ", and ".join(advice)
    )


def choose(rows: pa.Table, profile: Profile, total: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the rows that fill the quotas, by plan_row, and the shortfall."""
    names = ("disease", "age_bin", "gender")
    cells = list(zip(*(rows[name].to_pylist() for name in names), strict=True))
    survivors = np.flatnonzero(np.array(rows["arm"].to_pylist(), str) == "injected")
    quotas = cell_quotas(profile["joint"], total)
    order = np.array(rows["plan_row"].to_pylist(), np.int64)[survivors]
    chosen = survivors[fill_quotas(quotas, [cells[row] for row in survivors.tolist()], order)]
    return chosen, shortfall(quotas, [cells[row] for row in chosen.tolist()])


def measure(
    kept: Path,
    rows: pa.Table,
    arms: dict[str, np.ndarray],
    patient_faces: Path,
    profile: Profile,
    params: Params,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return Table 2 and the legibility of the guided images; the rows of each arm are sorted."""
    section, home = params.select, Path(params.attributes.deepface_home)
    judge = load_classifier(Path(section.classifier)) if section.judge_diseases else None
    meant = {arm: planned(rows.take(part), profile) for arm, part in arms.items()}
    seen = {arm: look(kept, part, meant[arm].disease, home, judge, arm) for arm, part in arms.items()}
    recorded = _index(shards.read_table(patient_faces, columns=["disease"])["disease"], DISEASES)
    patients = look(patient_faces, np.arange(len(recorded)), recorded, home, None, "patients")
    table = table_2(patients, seen, meant, profile, num_resamples=section.bootstrap, seed=section.seed)
    source = "judged by the classifier" if judge else "planned"
    table["notes"] = NOTES | {"disease": NOTES["disease"].format(source)}
    if not judge:
        return table, {
            "judged": False,
            "why": "select.judge_diseases is false: the judge knows phantoms only",
        }
    severity = rows["severity"].take(arms["guided"]).to_pylist()
    return table, read_signs(meant["guided"].disease, severity, seen["guided"].disease)


def run(
    kept: Path,
    profile: Path,
    patient_faces: Path,
    selected: Path,
    metrics: Path,
    legible: Path,
    params: Params,
) -> int:
    """Write Table 2 and the legibility, then the selection, unless too short; return its number of images."""
    section = params.select
    rows, published = shards.read_table(kept, columns=COLUMNS), json.loads(profile.read_text())
    chosen, short = choose(rows, published, section.num_images)
    random = np.flatnonzero(np.array(rows["arm"].to_pylist(), str) == "random")
    arms = {"random": random, "guided": np.sort(chosen)}
    table, reading = measure(kept, rows, arms, patient_faces, published, params)
    durable.write_json(metrics, table | {"shortfall": short})
    durable.write_json(legible, reading)
    refuse_shortfall(short, section, params.plan_sampling.over_generation)
    shards.write_parts(selected_parts(kept, chosen), selected)
    return len(chosen)


def main(
    kept: Annotated[Path, typer.Option(help="shards that survived the screen")],
    profile: Annotated[Path, typer.Option(help="the patients' published profile")],
    patient_faces: Annotated[Path, typer.Option(help="shards of patients' faces")],
    selected: Annotated[Path, typer.Option(help="out: shards of the images selected")],
    metrics: Annotated[Path, typer.Option(help="out: Table 2 and the shortfall as JSON")],
    legibility: Annotated[Path, typer.Option(help="out: how well the diseases are recognised, as JSON")],
) -> None:
    """Select the images that match the patients' statistics."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(kept, profile, patient_faces, selected, metrics, legibility, params)


if __name__ == "__main__":
    stage.start(main)
