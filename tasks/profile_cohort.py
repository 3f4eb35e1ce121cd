"""Stage profile_cohort: the patients' faces -> the publishable statistics that sampling follows."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from models.attributes.deepface import estimate
from models.diffusion.images import decode
from models.metrics.cohort_profile import cohort_profile
from tasks import durable, shards, stage
from tasks.params import Params, load

STAGE = "profile_cohort"


def attributes(faces: Path, params: Params) -> tuple[np.ndarray, list[str]]:
    """Return ages and genders of the faces: the records' where stated and wanted, else DeepFace's."""
    table = shards.read_table(faces, columns=["image", "age", "gender"])
    use_records = params.profile_cohort.attributes == "records"
    ages = [float("nan") if age is None else age for age in table["age"].to_pylist()]
    genders = [gender or "" for gender in table["gender"].to_pylist()]
    unknown = [i for i in range(len(ages)) if not use_records or np.isnan(ages[i]) or not genders[i]]
    if unknown:
        images = [decode(table["image"][i].as_py()) for i in unknown]
        for i, age, gender in zip(
            unknown, *estimate(images, Path(params.attributes.deepface_home)), strict=True
        ):
            ages[i] = float(age) if np.isnan(ages[i]) or not use_records else ages[i]
            genders[i] = gender if not (genders[i] and use_records) else genders[i]
    return np.array(ages), genders


def run(faces: Path, profile: Path, params: Params) -> int:
    """Write the profile; return the number of photos it rests on."""
    ages, genders = attributes(faces, params)
    table = shards.read_table(faces, columns=["patient_id", "disease"])
    section = params.profile_cohort
    value = cohort_profile(
        table["patient_id"].to_pylist(),
        table["disease"].to_pylist(),
        ages,
        genders,
        age_edges=section.age_edges,
        min_cell=section.min_cell,
    )
    durable.write_json(profile, value)
    return table.num_rows


def main(
    faces: Annotated[Path, typer.Option(help="shards of the patients' faces")],
    profile: Annotated[Path, typer.Option(help="out: the published profile as JSON")],
) -> None:
    """Profile the cohort in cells of at least min_cell patients."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(faces, profile, params)


if __name__ == "__main__":
    stage.start(main)
