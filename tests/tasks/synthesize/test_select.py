"""The selection: quotas, shortfall and Table 2 with attributes read off toy pixels; then the real twins."""

import json
import logging
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest

from mema.params import Params
from mema.runtime import durable, shards
from models.diseases import DISEASES, GENDERS
from models.images import encode_png, image_id
from phantom.drawing import render, sample_phantom, sample_shot
from tasks import schemas
from tasks.synthesize import select
from tests.toys.profile import exact_profile
from tests.worlds.profiles import profile

ROOT = Path(__file__).parents[3]
EDGES = (0, 20, 40, 60, 80, 101)
Person = tuple[str, float, str]  # disease, age, gender
PATIENTS = [("bcc", 30.0, "female")] * 4 + [("bcc", 70.0, "male")] * 2 + [("tao", 70.0, "female")] * 2
RECOGNISERS = ["arcface"]


def picture(disease: str, age: float, gender: str) -> np.ndarray:
    """Write the attributes into the pixels, where the toy estimators read them."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:] = age, GENDERS.index(gender), DISEASES.index(disease)
    return image


def age_bin(age: float) -> str:
    return next(f"{low}-{high}" for low, high in pairwise(EDGES) if low <= age < high)


def table(schema: pa.Schema, images: list[np.ndarray], **columns: list) -> pa.Table:
    defaults = {"string": "", "binary": b"", "float": 0.0, "int64": 0}
    values = {field.name: [defaults.get(str(field.type), [])] * len(images) for field in schema}
    values |= {"image": [encode_png(i) for i in images], "image_id": [image_id(i) for i in images]}
    return pa.table(values | columns, schema=schema)


def sample(plan_row: int, arm: str, asked: Person, image: np.ndarray, severity: str = "heavy") -> dict:
    disease, age, gender = asked
    return {
        "plan_row": plan_row, "arm": arm, "disease": disease, "age_bin": age_bin(age), "gender": gender,
        "severity": "" if disease == "normal" else severity, "picture": image,
    }  # fmt: skip


def write_world(root: Path, samples: list[dict], patients: list[np.ndarray], shard_rows: int = 5) -> Path:
    names = ("plan_row", "arm", "disease", "age_bin", "gender", "severity")
    columns = {name: [row[name] for row in samples] for name in names}
    kept = table(schemas.screened(RECOGNISERS), [row["picture"] for row in samples], **columns)
    shards.write_shards(kept, root / "kept", shard_rows=shard_rows)
    faces = table(
        schemas.PATIENT_FACE,
        patients,
        disease=[p[0] for p in PATIENTS],
        patient_id=[f"secret-{k}" for k in range(len(patients))],
    )
    shards.write_shards(faces, root / "patients", shard_rows=3)
    diseases, ages, genders = zip(*PATIENTS, strict=True)
    profile = exact_profile(diseases, np.array(ages), genders, EDGES)
    durable.write_json(root / "cohort.json", profile)
    return root


def toy_samples() -> list[dict]:
    """Eleven survivors for eight places, each two years too old, and four random images of young men."""
    cells = [PATIENTS[0]] * 6 + [PATIENTS[4]] * 2 + [PATIENTS[6]] * 3
    rows = [sample(100 - k, "injected", cell, picture(cell[0], cell[1] + 2, cell[2])) for k, cell in enumerate(cells)]
    rows[5]["picture"] = picture("normal", 32, "female")  # plan_row 95, the first chosen: no sign to be seen
    young: Person = ("normal", 30, "male")
    rows += [sample(k, "random", young, picture(*young)) for k in range(4)]
    return rows + [sample(4, "direct", PATIENTS[0], picture(*PATIENTS[0]))]


def toy_world(root: Path, rows: list[dict] | None = None, shard_rows: int = 5) -> Path:
    return write_world(root, rows or toy_samples(), [picture(*p) for p in PATIENTS], shard_rows)


def params(**changes) -> Params:
    document = profile("phantom").model_dump()
    document["plan_sampling"]["over_generation"] = 1.25
    document["select"] |= {"num_images": 8, "bootstrap": 50} | changes
    document["attributes"]["deepface_home"] = str(ROOT / document["attributes"]["deepface_home"])
    document["select"]["classifier"] = str(ROOT / document["select"]["classifier"])
    return Params.model_validate(document)


@pytest.fixture
def toy_estimators(monkeypatch):
    def estimate(images, home):
        return np.array([i[0, 0, 0] for i in images], np.float32), [GENDERS[i[0, 0, 1]] for i in images]

    monkeypatch.setattr(select, "estimate", estimate)
    monkeypatch.setattr(select, "predict", lambda judge, images: np.eye(8)[[i[0, 0, 2] for i in images]])


def run(root: Path, out: Path, **changes) -> tuple[dict, dict]:
    paths = (root / "kept", root / "cohort.json", root / "patients")
    outs = (out / "selected", out / "distribution.json", out / "legibility.json")
    assert select.run(*paths, *outs, params(**changes), out / "exact.json") > 0
    return json.loads(outs[1].read_text()), json.loads(outs[2].read_text())


def test_quotas_are_exact_and_the_earliest_rows_fill_them(tmp_path, toy_estimators):
    metrics, _ = run(toy_world(tmp_path), tmp_path)
    chosen = shards.read_table(tmp_path / "selected")
    assert chosen["plan_row"].to_pylist() == [90, 91, 93, 94, 95, 96, 97, 98]
    assert chosen.schema.equals(schemas.selected(RECOGNISERS), check_metadata=True)
    kept = {row["plan_row"]: row for row in shards.read_table(tmp_path / "kept").to_pylist()}
    assert chosen.to_pylist() == [kept[row] for row in chosen["plan_row"].to_pylist()]
    assert metrics["shortfall"] == {"cells": [], "total": 0, "share": 0.0}
    assert metrics["n"] == {"guided": 8, "random": 4}


def test_table_2_by_hand_and_random_lies_farther(tmp_path, toy_estimators):
    metrics, _ = run(toy_world(tmp_path), tmp_path)
    value = {name: {arm: cell["value"] for arm, cell in row.items()} for name, row in metrics["wasserstein"].items()}
    # Guided: one of eight shows no sign, each is two years off, within its bin. Random: all normal men of 30.
    random = {"disease": 1.0, "age": 0.2, "gender": 0.75}
    guided = {"disease": 0.125, "age": 0.0, "gender": 0.0}
    assert value == {name: {"guided": guided[name], "random": random[name]} for name in random}
    exact = json.loads((tmp_path / "exact.json").read_text())
    assert exact["wasserstein"]["age"]["guided"]["value"] == 0.02
    assert exact["n"] == {"patients": 8}
    assert metrics["planned"] == {name: {"guided": 0.0, "random": random[name]} for name in random}
    for row in metrics["wasserstein"].values():
        assert row["guided"]["ci95"][1] < row["random"]["ci95"][0]
    assert metrics["total_variation"] == {name: value[name] for name in ("disease", "gender")}
    assert metrics["histograms"]["disease"]["guided"]["normal"] == 0.125
    assert "judged" in metrics["notes"]["disease"]


def test_the_judge_reads_the_selected_images_only(tmp_path, toy_estimators):
    _, legibility = run(toy_world(tmp_path), tmp_path)
    assert legibility["n"] == 8
    assert legibility["disease"]["bcc"] | {"ci95": 0} == {"n": 6, "rate": round(5 / 6, 6), "ci95": 0}
    assert legibility["macro_accuracy"]["heavy"] == round((5 / 6 + 1) / 2, 6)


def test_without_a_judge_the_disease_is_as_planned_and_the_files_say_so(tmp_path, toy_estimators):
    metrics, legibility = run(toy_world(tmp_path), tmp_path, judge_diseases=False, classifier="nowhere")
    assert metrics["wasserstein"]["disease"]["guided"]["value"] == 0.0
    assert metrics["notes"]["disease"].endswith("as planned.")
    assert legibility["judged"] is False
    assert "judge_diseases" in legibility["why"]


def test_equal_rows_give_equal_bytes_however_they_lie_in_shards(tmp_path, toy_estimators, monkeypatch):
    monkeypatch.setattr(select, "SHARD_ROWS", 3)
    written = []
    for name, shard_rows in (("a", 5), ("b", 2)):
        root = toy_world(tmp_path / name, toy_samples(), shard_rows)
        run(root, root)
        files = [*sorted((root / "selected").iterdir()), root / "distribution.json", root / "legibility.json"]
        written.append({file.name: file.read_bytes() for file in files})
    assert len(written[0]) == 5
    assert written[0] == written[1]
    assert all(b"secret" not in data for data in written[0].values())


def test_datasets_reads_the_selection(tmp_path, toy_estimators):
    run(toy_world(tmp_path), tmp_path)
    files = [str(file) for file in sorted((tmp_path / "selected").iterdir())]
    rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["plan_row"] == [90, 91, 93, 94, 95, 96, 97, 98]
    assert rows[5]["image"] == encode_png(picture("bcc", 32, "female"))


def test_too_large_a_shortfall_is_fatal_after_the_metrics_with_the_factor_that_fills(tmp_path, toy_estimators):
    rows = [row for row in toy_samples() if row["plan_row"] not in (95, 96, 97, 98, 93)]
    with pytest.raises(ValueError, match=r"select\.max_shortfall") as error:
        run(toy_world(tmp_path, rows), tmp_path)
    assert str(error.value) == (
        "select.max_shortfall: 3 of 8 images are short (37.5%, allowed 10.0%) in 2 cells; "
        "worst: bcc 20-40 female (2 of 4), bcc 60-80 male (1 of 2); "
        "raise plan_sampling.over_generation from 1.25 to 2.5"
    )
    assert not (tmp_path / "selected").exists()
    short = json.loads((tmp_path / "distribution.json").read_text())["shortfall"]
    assert (short["total"], short["share"]) == (3, 0.375)
    assert [cell["missing"] for cell in short["cells"]] == [2, 1]


def test_a_cell_without_survivors_has_no_factor_and_says_where_to_look(tmp_path, toy_estimators):
    rows = [row for row in toy_samples() if row["disease"] != "tao"]
    with pytest.raises(ValueError, match=r"tao 60-80 female \(0 of 2\); look at why .* 1 cells"):
        run(toy_world(tmp_path, rows), tmp_path)


def test_a_shortfall_within_the_limit_warns_and_selects_the_rest(tmp_path, toy_estimators, caplog):
    rows = [row for row in toy_samples() if row["disease"] != "tao" or row["arm"] != "injected"]
    with caplog.at_level(logging.WARNING):
        run(toy_world(tmp_path, rows), tmp_path, max_shortfall=0.25)
    assert "2 of 8 images are short" in caplog.text
    assert shards.read_table(tmp_path / "selected").num_rows == 6


def test_no_survivor_at_all_is_fatal_whatever_the_limit(tmp_path, toy_estimators):
    rows = [row for row in toy_samples() if row["arm"] != "injected"]
    with pytest.raises(ValueError, match="8 of 8 images are short"):
        run(toy_world(tmp_path, rows), tmp_path, max_shortfall=1.0)


def test_age_bins_of_another_profile_are_refused(tmp_path, toy_estimators):
    rows = [row | {"age_bin": "30-40"} for row in toy_samples()]
    with pytest.raises(ValueError, match="age_bin: '30-40' is none of"):
        run(toy_world(tmp_path, rows), tmp_path)


def face(seed: int, person: Person) -> np.ndarray:
    disease, age, gender = person
    rng = np.random.default_rng([5, seed])
    severity = "" if disease == "normal" else "heavy"
    return render(sample_phantom(rng, age, gender), sample_shot(rng), 96, disease, severity, "both").image


def test_the_twins_see_that_random_images_are_other_people(tmp_path):
    young: Person = ("normal", 8, "male")
    samples = [sample(k, "injected", p, face(k, p)) for k, p in enumerate(PATIENTS)]
    samples += [sample(20 + k, "random", young, face(20 + k, young)) for k in range(6)]
    write_world(tmp_path, samples, [face(40 + k, p) for k, p in enumerate(PATIENTS)])
    metrics, legibility = run(tmp_path, tmp_path)
    for name, row in metrics["wasserstein"].items():
        assert row["guided"]["ci95"][1] < row["random"]["ci95"][0], name
    assert metrics["wasserstein"]["age"]["guided"]["value"] < 0.1
    assert legibility["severity"]["heavy"]["rate"] > 0.8


@pytest.mark.slow
def test_the_command_ends_with_the_sentence_and_no_traceback(tmp_path):
    names = ("kept", "profile", "patient-faces", "selected", "metrics", "legibility", "exact")
    command = [sys.executable, "-m", "tasks.synthesize.select", *(f"--{name}={tmp_path / name}" for name in names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "no *.parquet there; run the stage that makes it" in done.stderr
    assert "Traceback" not in done.stderr
