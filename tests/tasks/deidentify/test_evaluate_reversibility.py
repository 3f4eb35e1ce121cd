"""Table 8: rows of what comes back with the right and with a wrong password, against single metrics."""

import json

import numpy as np
import pyarrow as pa
import pytest
from skimage.metrics import peak_signal_noise_ratio

from mema.runtime import durable, shards
from models.diseases import DISEASES
from models.identity.recogniser import load_recogniser
from models.images import decode, encode_png
from models.judges.image_quality import TWIN
from models.judges.sign_classifier import load_sign_classifier
from tasks.deidentify import evaluate_reversibility, train_judges
from tasks.deidentify.deidentify import DEIDENTIFIED
from tests.worlds import judges as judges_world
from tests.worlds.deid import REVERSIBILITY, write_deid_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """MeMa with a reversible method, whose way back is noisy or another's face, and an irreversible one."""
    root = tmp_path_factory.mktemp("world")
    world = write_deid_world(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        section = judges_world.section(judges_world.toy_pretrained(root))
        train_judges.run(world.data / "mema", world.data / "mema_seg", world.data / "judges", root / "j.json", section)
    table, rng = shards.read_table(world.data / "mema/val"), np.random.default_rng(0)
    faces = [decode(data) for data in table["image"].to_pylist()]
    noisy = [np.clip(f.astype(int) + rng.integers(-9, 10, f.shape), 0, 255).astype(np.uint8) for f in faces]
    back = {"recovered": noisy, "wrong": faces[2:] + faces[:2]}
    nothing = [None] * len(faces)
    for name, columns in (("coded", back), ("gone", {"recovered": nothing, "wrong": nothing})):
        columns = {c: [v if v is None else encode_png(v) for v in values] for c, values in columns.items()}
        columns |= {"image_id": table["image_id"], "image": table["image"]}
        shards.write_shards(pa.table(columns, schema=DEIDENTIFIED), world.data / "deidentified" / name, shard_rows=5)
        durable.write_json(world.data / "deidentified" / name / "method.json", {"told_disease": False})
    return world


def test_rows_are_the_single_metrics_of_each_column(world, tmp_path):
    data = world.data
    evaluate_reversibility.run(
        data / "mema", data / "deidentified", data / "judges/classifier", tmp_path / "r.json", REVERSIBILITY,
        world.recognisers, "phantom",
    )  # fmt: skip
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["irreversible"] == ["gone"]
    rows = {row["image"]: row for row in document["rows"]}
    assert [(row["method"], row["image"]) for row in document["rows"]] == [("coded", "recovered"), ("coded", "wrong")]
    table = shards.read_table(data / "mema/val")
    faces = np.stack([decode(d) for d in table["image"].to_pylist()])
    judge, recogniser = (load_sign_classifier(data / "judges/classifier"), load_recogniser(world.recognisers["coarse"]))
    for column, row in rows.items():
        made = shards.read_table(data / "deidentified/coded")[column].to_pylist()
        images = np.stack([decode(d) for d in made])
        psnr = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(faces, images, strict=True)]
        assert row["psnr"]["value"] == pytest.approx(np.mean(psnr), abs=1e-3)
        distance = np.linalg.norm(recogniser.embed(faces) - recogniser.embed(images), axis=1)
        assert row["id_dis"]["coarse"]["value"] == pytest.approx(distance.mean(), abs=1e-3)
        right = [DISEASES[k] for k in judge.predict(images).argmax(1)] == np.array(table["disease"].to_pylist())
        assert row["med_class_micro"]["value"] == pytest.approx(np.mean(right), abs=1e-3)
        assert row["med_class"]["value"] == pytest.approx(np.mean(right), abs=1e-3)  # two of each disease
        assert row["lpips"]["stand_in"] == TWIN
    assert rows["recovered"]["lpips"]["value"] < rows["wrong"]["lpips"]["value"]
