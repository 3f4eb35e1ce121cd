"""Table 7 on mosaics: what cannot be measured says why, what can is measured against the originals."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mema.runtime import durable, shards
from models.images import decode, encode_png
from models.judges.landmarks import landmark_error, load_landmarks
from tasks.deidentify import evaluate_utility
from tasks.deidentify.deidentify import DEIDENTIFIED
from tests.worlds.deid import UTILITY, write_deid_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = write_deid_world(tmp_path_factory.mktemp("world"))
    table = shards.read_table(world.data / "mema/val")
    faces = [decode(data) for data in table["image"].to_pylist()]
    for name, made in {"identity": faces, "flip": [np.flip(face, 0).copy() for face in faces]}.items():
        folder, nothing = world.data / "deidentified" / name, [None] * len(faces)
        columns = {"image_id": table["image_id"], "image": [encode_png(f) for f in made]}
        # The order of the rows is not the originals': they are paired by id.
        shuffled = pa.table(columns | {"recovered": nothing, "wrong": nothing}, schema=DEIDENTIFIED)
        shards.write_shards(shuffled.take(list(reversed(range(len(faces))))), folder, shard_rows=5)
        durable.write_json(folder / "method.json", {"told_disease": False})
    return world


def test_landmarks_are_compared_by_id_and_gaze_has_a_reason_on_drawings(world, tmp_path):
    evaluate_utility.run(world.data / "mema", world.data / "deidentified", tmp_path / "u.json", UTILITY, "phantom")
    document = json.loads((tmp_path / "u.json").read_text())
    rows = {row["method"]: row for row in document["rows"]}
    assert all(rows["identity"]["landmark"][part]["value"] == 0 for part in ("all", "eye", "mouth", "nose"))
    faces = np.stack([decode(d) for d in shards.read_table(world.data / "mema/val")["image"].to_pylist()])
    landmarks = load_landmarks("")
    error = landmark_error(landmarks(faces), landmarks(np.flip(faces, 1)), "eye")
    assert rows["flip"]["landmark"]["eye"]["value"] == pytest.approx(error.mean(), abs=1e-3)
    assert rows["flip"]["landmark"]["eye"]["patients"] == 8
    for angle in ("pitch", "yaw"):
        found = rows["flip"]["gaze"][angle]
        assert found["value"] is None
        assert "know photographs" in found["reason"]
    assert "96 px" in document["notes"]["landmark"]


def test_a_network_that_is_named_and_absent_stops_the_stage(world, tmp_path):
    absent = UTILITY.model_copy(update={"predictor": str(tmp_path / "absent.dat")})
    with pytest.raises(ValueError, match=r"evaluate_utility\.predictor: no file"):
        evaluate_utility.find_networks(absent, "photos")
    _, missing = evaluate_utility.find_networks(UTILITY, "photos")
    assert missing == {"gaze": evaluate_utility.NOT_NAMED}


def test_without_the_packaged_predictor_the_columns_have_a_reason(world, tmp_path, monkeypatch):
    monkeypatch.setattr("models.judges.landmarks.packaged_predictor", lambda: Path("absent.dat"))
    evaluate_utility.run(world.data / "mema", world.data / "deidentified", tmp_path / "u.json", UTILITY, "photos")
    row = json.loads((tmp_path / "u.json").read_text())["rows"][0]
    assert row["landmark"]["all"]["value"] is None
    assert "face_recognition_models has it" in row["landmark"]["all"]["reason"]
