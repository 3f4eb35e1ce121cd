"""The stage cohort: folders that the ingest takes whole, equal at each run, and never half-made."""

import csv
import hashlib
from pathlib import Path

import cv2
import pytest
import yaml

from mema.params.synthesize import Cohort, IngestPatients
from mema.runtime import shards
from phantom.drawing.cohort import draw, patients
from phantom.stages import cohort
from tasks.synthesize import ingest_patients
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[3]
SECTION = Cohort(num_patients=8, num_public=5, image_size_px=64, seed=7)
COLUMNS = "record_id,patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"


def digests(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    assert cohort.run(root / "hospital", root / "public", SECTION) == len(patients(8, 7)) + 5
    return root


def test_each_record_has_its_photo_and_nothing_else_is_there(drawn):
    text = (drawn / "hospital/records.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == COLUMNS
    records = list(csv.DictReader(text.splitlines()))
    assert set(digests(drawn / "hospital")) == {"records.csv", *(record["file"] for record in records)}
    assert set(digests(drawn / "public")) == {f"photos/f{i:06d}.png" for i in range(1, 6)}
    assert sorted(path.name for path in drawn.iterdir()) == ["hospital", "public"]


def test_a_file_holds_the_photo_that_was_designed(drawn):
    visit = patients(8, 7)[3]
    image = cv2.imread(str(drawn / "hospital" / visit.photo.file), cv2.IMREAD_COLOR_RGB)
    assert (image == draw(visit.photo, 64)).all()


def test_the_ingest_takes_every_record_and_agrees_on_the_disease(drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = profile_values()["ingest_patients"]
    out, rejected, metrics = (tmp_path / name for name in ("faces", "rejected.parquet", "metrics.json"))
    section = IngestPatients(**values | {"image_size_px": 64})
    ingest_patients.run(drawn / "hospital", out, rejected, metrics, section)
    assert shards.read_table(rejected).num_rows == 0
    faces = {row["file"]: row for row in shards.read_table(out).to_pylist()}
    visits = patients(8, 7)
    assert len(faces) == len(visits)
    for visit in visits:
        face = faces[visit.photo.file]
        assert face["disease"] == visit.photo.disease
        assert face["eye"] == visit.record["eye"]
        assert face["age"] == int(visit.photo.person.age)
        assert face["gender"] == visit.photo.person.gender
        assert face["flags"] == []


def test_equal_seeds_give_equal_bytes_in_place_of_what_was_there(drawn, tmp_path):
    (tmp_path / "hospital/photos").mkdir(parents=True)
    (tmp_path / "hospital/photos/old.png").write_bytes(b"old")
    cohort.run(tmp_path / "hospital", tmp_path / "public", SECTION)
    assert digests(tmp_path / "hospital") == digests(drawn / "hospital")
    assert digests(tmp_path / "public") == digests(drawn / "public")


def test_a_run_that_breaks_off_leaves_the_outs_alone_and_the_next_one_clears_up(tmp_path):
    out = tmp_path / "hospital"

    def fill_half(folder):
        (folder / "half.png").write_bytes(b"half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cohort.put(out, fill_half)
    assert not out.exists()
    cohort.put(out, lambda folder: (folder / "whole.png").write_bytes(b"whole"))
    assert [path.name for path in tmp_path.iterdir()] == ["hospital"]
    assert [path.name for path in out.iterdir()] == ["whole.png"]


def test_a_profile_without_a_cohort_is_refused(tmp_path, monkeypatch):
    values = profile_values()
    del values["cohort"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"cohort: params\.yaml has no such section"):
        cohort.main(tmp_path / "hospital", tmp_path / "public")
