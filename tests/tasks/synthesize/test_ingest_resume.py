"""A killed ingest is taken up with the bytes of an undisturbed run; public faces are split for good."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mema.params import load
from mema.params.synthesize import IngestPatients, IngestPublic
from mema.runtime import shards
from models.diseases import DISEASES
from tasks.synthesize import ingest, ingest_patients, ingest_public, profile_cohort

ROOT = Path(ingest.__file__).parents[2]
HEADER = "patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"
ARGUMENTS = ["--source", "raw", "--faces", "faces", "--quarantine", "q.parquet", "--metrics", "m.json"]
COMMON = {"detector": "aligned", "image_size_px": 64, "min_size_px": 64, "max_megapixels": 2,
          "max_aspect": 2.0, "near_duplicate_bits": 2, "shard_rows": 4}  # fmt: skip


def hospital(folder: Path, num_photos: int, side: int = 80) -> None:
    """A source of two photos per patient, and params.yaml with one photo a shard."""
    (folder / "raw/photos").mkdir(parents=True)
    rows = [HEADER]
    for i in range(num_photos):
        coarse = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        photo = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"raw/photos/{i:03d}.png"), photo)
        sex = "FM"[i // 2 % 2]
        disease, day = DISEASES[i // 2 % 4], f"2020-01-{i % 28 + 1:02d}"
        rows.append(f"p{i // 2},{day},left,,{disease},{20 + i},{sex},yes,{i:03d}.png")
    (folder / "raw/records.csv").write_text("\n".join(rows) + "\n")
    params = (ROOT / "params.yaml").read_text().replace("shard_rows: 64", "shard_rows: 1", 1)
    (folder / "params.yaml").write_text(params)


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tasks.synthesize.ingest_patients", *ARGUMENTS]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def digests(folder: Path) -> dict[str, str]:
    files = [*sorted((folder / "faces").iterdir()), folder / "q.parquet", folder / "m.json"]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.faults
@pytest.mark.slow
def test_a_killed_ingest_ends_with_the_same_bytes(tmp_path):
    for name in ("undisturbed", "killed"):
        hospital(tmp_path / name, 40, 600)
    assert start(tmp_path / "undisturbed").wait(120) == 0
    process, killed = start(tmp_path / "killed"), tmp_path / "killed"
    deadline = time.monotonic() + 60
    while len(list(killed.glob(".scratch/ingest_patients-*/*.sha256"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {file: file.stat().st_mtime_ns for file in killed.glob(".scratch/ingest_patients-*/*.parquet")}
    assert 3 <= len(finished) < 40
    assert not (killed / "m.json").exists()
    assert start(killed).wait(120) == 0
    assert digests(killed) == digests(tmp_path / "undisturbed")
    assert all((path / ".published").exists() for path in killed.glob(".scratch/ingest_patients-*"))


def test_profile_follows_the_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hospital(tmp_path, 40)
    section = IngestPatients.model_validate(COMMON | {"held_out_share": 0.5})
    ingest_patients.run(Path("raw"), Path("faces"), Path("q.parquet"), Path("m.json"), section)
    assert json.loads(Path("m.json").read_text())["splits"] == {"train": 30, "heldout": 10}
    params = load(Path("params.yaml"))
    loud = params.model_copy(update={"profile_cohort": params.profile_cohort.model_copy(update={"epsilon": 1e4})})
    assert profile_cohort.run(Path("faces"), Path("cohort.json"), loud) == 20  # patients, of two photos each
    profile = json.loads(Path("cohort.json").read_text())
    assert [profile["disease"][name] for name in DISEASES[:4]] == [0.25] * 4
    assert profile["gender"] == {"female": 0.5, "male": 0.5}
    assert "p1" not in Path("cohort.json").read_text().replace('"p"', "")


def test_public_faces_get_attributes_and_stable_splits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hospital(tmp_path, 60)

    # DeepFace itself is tested beside its wrapper; here its answers only have to reach their rows
    def answers(images: list[np.ndarray], deepface_home: Path) -> tuple[np.ndarray, list[str]]:
        return np.array([float(image[0, 0, 0]) for image in images]), ["female"] * len(images)

    monkeypatch.setattr(ingest, "estimate", answers)
    section = IngestPublic.model_validate(COMMON | {"calibration_share": 0.4, "floor_share": 0.3})

    def splits() -> dict[str, str]:
        out = (Path("faces"), Path("q.parquet"), Path("m.json"))
        ingest_public.run(Path("raw"), *out, section, tmp_path / "home")
        rows = shards.read_table(Path("faces")).to_pylist()
        for row in rows:
            pixels = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR)
            assert row["age"] == pixels[0, 0, 2]
        return {row["image_id"]: row["split"] for row in rows}

    before = splits()
    assert set(before.values()) == {"donor", "calibration", "floor"}
    assert 12 <= list(before.values()).count("calibration") <= 36
    Path("raw/photos/003.png").unlink()
    after = splits()
    assert len(after) == 59
    assert after.items() <= before.items()
