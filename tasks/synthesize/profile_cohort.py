"""Stage profile_cohort: the patients' faces -> the publishable statistics that sampling follows."""

import logging
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from mema.hospital import profile_versions
from mema.hospital.release_key import release_key
from mema.params import Params, load
from mema.runtime import durable, shards, stage
from models.attributes.deepface import estimate
from models.cohort.cohort_profile import Mechanism, cells_of, cohort_profile, one_photo_each, version_of
from models.images import decode

STAGE = "profile_cohort"
log = logging.getLogger(__name__)


def attributes(table: pa.Table, params: Params) -> tuple[np.ndarray, list[str]]:
    """Return ages and genders of the faces: the records' where stated and wanted, else DeepFace's."""
    use_records = params.profile_cohort.attributes == "records"
    ages = [float("nan") if age is None else age for age in table["age"].to_pylist()]
    genders = [gender or "" for gender in table["gender"].to_pylist()]
    unknown = [i for i in range(len(ages)) if not use_records or np.isnan(ages[i]) or not genders[i]]
    if unknown:
        images = [decode(table["image"][i].as_py()) for i in unknown]
        for i, age, gender in zip(unknown, *estimate(images, Path(params.attributes.deepface_home)), strict=True):
            ages[i] = float(age) if np.isnan(ages[i]) or not use_records else ages[i]
            genders[i] = gender if not (genders[i] and use_records) else genders[i]
    return np.array(ages), genders


def note(version: bytes, params: Params) -> None:
    """Note a hospital's version beside its key; phantoms, whose key everybody knows, have nothing to lose."""
    section = params.profile_cohort
    if params.release_key.path:
        zone = Path(params.release_key.path).expanduser().parent
        spent = profile_versions.record(zone, version.hex(), section.epsilon, section.max_epsilon)
        log.info("%s: epsilon %g of %g spent over all versions", STAGE, spent, section.max_epsilon)


def run(faces: Path, profile: Path, params: Params) -> int:
    """Write the profile; return the number of photos it rests on, one a patient."""
    table = shards.read_table(faces, columns=["image_id", "patient_id"])
    rows = one_photo_each(table["patient_id"].to_pylist(), table["image_id"].to_pylist())
    columns = ["image", "patient_id", "disease", "age", "gender"]
    table = shards.take_rows(faces, rows, columns)
    section = params.profile_cohort
    cells = cells_of(table["disease"].to_pylist(), *attributes(table, params), section.age_edges)
    mechanism = Mechanism(section.epsilon, section.joint_share, section.min_cell, section.age_edges)
    key = release_key(params.release_key, STAGE)
    version = version_of(table["patient_id"].to_pylist(), cells, mechanism, key)
    value = cohort_profile(cells, mechanism, version)
    note(version, params)
    durable.write_json(profile, value)
    return len(rows)


def main(
    faces: Annotated[Path, typer.Option(help="shards of the patients' faces")],
    profile: Annotated[Path, typer.Option(help="out: the published profile as JSON")],
) -> None:
    """Profile the cohort, with noise: no two versions tell a patient by their difference."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(faces, profile, params)


if __name__ == "__main__":
    stage.start(main)
