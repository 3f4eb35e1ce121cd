"""Stage select: exact quotas from what survived the screen, Table 2, and whether the signs are legible."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from tqdm import tqdm

from mema.params import Params, load
from mema.params.synthesize import Select
from mema.runtime import durable, shards, stage
from models.attributes.deepface import estimate
from models.cohort.cohort_profile import age_labels, one_photo_each
from models.cohort.distribution import Attributes, Profile, exact_table_2, middle_ages, table_2
from models.cohort.legibility import legibility as read_signs
from models.cohort.quotas import cell_quotas, fill_quotas, filling_factor, shortfall
from models.diseases import DISEASES, GENDERS
from models.images import decode
from models.judges.disease_classifier import DiseaseClassifier, load_classifier, predict
from tasks import schemas

STAGE = "select"
BATCH = 256
SHARD_ROWS = 256
WORST = 3  # short cells that an error names; all of them stand in the metrics
COLUMNS = ["plan_row", "arm", "disease", "severity", "age_bin", "gender"]
NOTES = {
    "age": "Wasserstein-1 in years / 100, ages by the middles of their bins.",
    "ci95": "Percentile bootstrap over the images; the published profile is the fixed target.",
    "disease": "Discrete metric: Wasserstein-1 is the total variation. Images' as {}.",
    "gender": "Discrete metric: Wasserstein-1 is the total variation.",
    "histograms": "Patients': the published profile. Images': as Table 2 sees them.",
    "planned": "Planned cells against the published profile; ages by the middles of their bins.",
    "profile_error": "Total variation by which the profile's noise is expected to part it from the patients.",
    "wasserstein": "Images as estimated, against the published profile; against the patients: in the hospital.",
}
log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """What is said of the images: for everybody, for the hospital, and how well the signs are read."""

    table: dict[str, Any]
    exact: dict[str, Any]
    legibility: dict[str, Any]


def planned(rows: pa.Table, profile: Profile) -> Attributes:
    """Return what the plan asked for; the age is the middle of its bin."""
    labels = age_labels(profile["age_edges"])
    unknown = sorted(set(rows["age_bin"].to_pylist()) - set(labels))
    if unknown:
        raise ValueError(f"age_bin: {unknown[0]!r} is none of {labels}; run plan_sampling and sample again")
    bins = _index(rows["age_bin"], labels)
    return Attributes(_index(rows["disease"], DISEASES), middle_ages(profile)[bins], _index(rows["gender"], GENDERS))


def _index(values: pa.ChunkedArray, names: tuple[str, ...] | list[str]) -> np.ndarray:
    return np.array([names.index(value) for value in values.to_pylist()], np.int64)


def look(
    folder: Path, rows: np.ndarray, disease: np.ndarray, home: Path, judge: DiseaseClassifier | None, desc: str
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
        advice.append(f"raise plan_sampling.over_generation from {factor:g} to {filling_factor(partly, factor):g}")
    if empty:
        advice.append(f"look at why nothing survived in {empty} cells (data/screened/rejected)")
    raise ValueError(
        f"select.max_shortfall: {short['total']} of {wanted} images are short ({short['share']:.1%}, "
        f"allowed {section.max_shortfall:.1%}) in {len(short['cells'])} cells; worst: {worst}; " + ", and ".join(advice)
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


def look_at_patients(faces: Path, home: Path) -> Attributes:
    """Return one photo of each patient, the disease as recorded, age and gender as estimated."""
    table = shards.read_table(faces, columns=["image_id", "patient_id", "disease"])
    rows = np.array(one_photo_each(table["patient_id"].to_pylist(), table["image_id"].to_pylist()))
    return look(faces, rows, _index(table["disease"].take(rows), DISEASES), home, None, "patients")


def measure(
    kept: Path, rows: pa.Table, arms: dict[str, np.ndarray], patient_faces: Path, profile: Profile, params: Params
) -> Measured:
    """Return both tables and the legibility of the guided images; the rows of each arm are sorted."""
    section, home = params.select, Path(params.attributes.deepface_home)
    judge = load_classifier(Path(section.classifier)) if section.judge_diseases else None
    meant = {arm: planned(rows.take(part), profile) for arm, part in arms.items()}
    seen = {arm: look(kept, part, meant[arm].disease, home, judge, arm) for arm, part in arms.items()}
    drawn = {"num_resamples": section.bootstrap, "seed": section.seed}
    exact = exact_table_2(look_at_patients(patient_faces, home), seen, **drawn)
    table = table_2(seen, meant, profile, **drawn)
    source = "judged by the classifier" if judge else "planned"
    table["notes"] = NOTES | {"disease": NOTES["disease"].format(source)}
    if not judge:
        why = "select.judge_diseases is false: the judge knows phantoms only"
        return Measured(table, exact, {"judged": False, "why": why})
    severity = rows["severity"].take(arms["guided"]).to_pylist()
    return Measured(table, exact, read_signs(meant["guided"].disease, severity, seen["guided"].disease))


def run(
    kept: Path,
    profile: Path,
    patient_faces: Path,
    selected: Path,
    metrics: Path,
    legible: Path,
    params: Params,
    exact: Path,
) -> int:
    """Write Table 2, once for everybody and once for the hospital, and the legibility; then the selection.

    Raises ValueError where the selection is too short; returns its number of images.
    """
    section = params.select
    rows, published = shards.read_table(kept, columns=COLUMNS), json.loads(profile.read_text())
    chosen, short = choose(rows, published, section.num_images)
    random = np.flatnonzero(np.array(rows["arm"].to_pylist(), str) == "random")
    arms = {"random": random, "guided": np.sort(chosen)}
    found = measure(kept, rows, arms, patient_faces, published, params)
    durable.write_json(metrics, found.table | {"shortfall": short})
    durable.write_json(exact, found.exact)
    durable.write_json(legible, found.legibility)
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
    exact: Annotated[Path, typer.Option(help="out: Table 2 against the patients, which stays in the hospital")],
) -> None:
    """Select the images that match the patients' statistics."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(kept, profile, patient_faces, selected, metrics, legibility, params, exact)


if __name__ == "__main__":
    stage.start(main)
