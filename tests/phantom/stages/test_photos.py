"""The photos profile's inputs, and its checkout below .scratch."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mema.params import load
from phantom.stages import photos, photos_cohort
from tests.worlds.profiles import profile

ROOT = Path(__file__).parents[3]


def test_without_assets_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMA_ASSETS", raising=False)
    with pytest.raises(ValueError, match=r"MEMA_ASSETS: .*name a folder with data/ and weights/"):
        photos.find_assets()


def test_the_checkout_has_the_code_and_the_photos_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    kept, gone = tmp_path / "data/patients/faces/shard.parquet", tmp_path / "models/deid/renamed_encoder.py"
    for file in (kept, gone):
        file.parent.mkdir(parents=True)
        file.touch()
    photos.lay_out(tmp_path)
    assert kept.exists()
    assert not gone.exists()
    assert load(tmp_path / "params.yaml").profile == "photos"
    assert (tmp_path / "phantom/stages/photos.py").read_bytes() == (ROOT / "phantom/stages/photos.py").read_bytes()
    assert (tmp_path / ".dvc").is_dir()
    assert not (tmp_path / ".git").exists()


@pytest.mark.real
def test_networks_lie_where_the_profile_looks(assets: Path, tmp_path: Path) -> None:
    photos.copy_networks(assets / "weights", tmp_path / "data/checkpoints")
    p = profile("photos")
    assert [path for path in p.screen_identity.recognisers.values() if not (tmp_path / path).is_file()] == []
    assert sorted(path.name for path in (tmp_path / p.attributes.deepface_home).rglob("*.onnx")) == [
        "age_model_weights.onnx",
        "gender_model_weights.onnx",
    ]


@pytest.mark.real
def test_photographs_wear_signs_near_the_eyes_and_names_stay_behind(assets: Path, tmp_path: Path) -> None:
    people = tmp_path / "people"
    for folder in sorted((assets / "data" / photos_cohort.PATIENTS).iterdir())[:2]:
        if folder.is_dir():
            (people / folder.name).mkdir(parents=True)
            shutil.copy(sorted(folder.glob("*.jpg"))[0], people / folder.name)
    written = photos_cohort.write_patients(people, tmp_path / "raw")
    with (tmp_path / "raw/records.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert written == len(rows) == 2
    assert [row["diagnosis"] for row in rows] == ["normal", "basal cell carcinoma"]
    assert not any(folder.name.split("_")[0] in str(rows) for folder in people.iterdir())
    for row, folder in zip(rows, sorted(people.iterdir()), strict=True):
        before = cv2.imread(str(next(folder.iterdir())))
        after = cv2.imread(str(tmp_path / "raw" / row["file"]))
        assert before is not None
        assert after is not None
        changed = np.abs(before.astype(int) - after).max(axis=2) > 8
        if row["diagnosis"] == "normal":
            assert not changed.any()
        else:
            assert 5 < changed.sum() < 0.05 * changed.size


@pytest.mark.real
def test_public_photographs_are_all_there(assets: Path, tmp_path: Path) -> None:
    source = assets / "data" / photos_cohort.PUBLIC[1]
    assert photos_cohort.copy_public([source], tmp_path) == len(list(source.rglob("*.jpg")))
    assert len(list((tmp_path / "photos").iterdir())) == len(list(source.rglob("*.jpg")))
