"""Tables 5 and 6 on mosaics; and that nothing was trained on what judges (acceptance 6)."""

import json
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import helper, numpy_helper

from mema.runtime import durable, shards
from models.identity.recogniser import load_recogniser
from models.images import decode
from models.statistics.identity_distance import identity_distance
from tasks.deidentify import evaluate_identity
from tasks.deidentify.deidentify import DEIDENTIFIED
from tasks.deidentify.evaluate_identity import check_held_out
from tasks.deidentify.evaluation import read_originals
from tasks.works.pseudonyms import Pseudonyms
from tests.worlds.deid import PSEUDONYMS, write_deid_world
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """MeMa with two methods: `identity`, and `swap`, which gives each image the next donor's face."""
    world = write_deid_world(tmp_path_factory.mktemp("world"))
    table = shards.read_table(world.data / "mema/val")
    ids, faces = table["image_id"].to_pylist(), table["image"].to_pylist()
    write_method(world, "identity", ids, faces)
    write_method(world, "swap", ids, faces[2:] + faces[:2])
    return world


def write_method(world, name: str, ids: list[str], faces: list[bytes]) -> None:
    folder, nothing = world.data / "deidentified" / name, [None] * len(ids)
    columns = {"image_id": ids, "image": faces, "recovered": nothing, "wrong": nothing}
    shards.write_shards(pa.table(columns, schema=DEIDENTIFIED), folder, shard_rows=5)
    durable.write_json(folder / "method.json", {"use": name, "options": {}, "told_disease": False})


def run(world, metrics: Path, **changes) -> dict:
    folders = (world.data / "mema", world.data / "public/faces", world.data / "deidentified")
    evaluate_identity.run(*folders, metrics, world.identity(**changes), world.loss_recogniser, PSEUDONYMS, "phantom")
    return json.loads(metrics.read_text())


def training(world) -> dict[str, pa.Table]:
    return {split: shards.read_table(world.data / "mema" / split) for split in ("train", "select")}


def paths(world) -> dict[str, Path]:
    return {name: Path(path) for name, path in world.recognisers.items()}


def test_rows_tell_the_unchanged_from_the_swapped(world, tmp_path):
    document = run(world, tmp_path / "identity.json")
    rows = {row["method"]: row for row in document["rows"]}
    images = [decode(d) for d in shards.read_table(world.data / "mema/val")["image"].to_pylist()]
    for name, path in world.recognisers.items():
        same, swapped = rows["identity"], rows["swap"]
        assert same["id_dis"][name]["value"] == 0
        assert same["verification_accuracy"][name]["value"] == 1.0
        assert same["match_rate"][name]["value"] == 1.0
        assert same["match_rate"][name]["gallery"] == 26
        embeddings = load_recogniser(path).embed(images)
        expected = identity_distance(embeddings, np.roll(embeddings, -2, 0)).mean()
        assert swapped["id_dis"][name]["value"] == pytest.approx(expected, abs=1e-3)
        assert swapped["match_rate"][name]["value"] == 0.0
        assert swapped["match_rate_originals"][name]["value"] == 0.0
        assert swapped["id_dis"][name]["patients"] == 8
        assert swapped["verification_accuracy"][name]["value"] < 0.7
    assert rows["swap"]["reversible"] is False
    assert document["held_out"]["training"]["train"] == {"images": 16, "donors": 8}
    donors_only = run(world, tmp_path / "donors.json", other_public_faces=False)
    assert donors_only["rows"][0]["match_rate"]["coarse"]["gallery"] == 8


def test_a_method_that_leaves_an_image_out_has_no_row(world, tmp_path):
    table = shards.read_table(world.data / "deidentified/swap").slice(1)
    short = tmp_path / "short"
    shards.write_shards(table, short, shard_rows=5)
    durable.write_json(short / "method.json", {"told_disease": False})
    judged = evaluate_identity.read_world(
        world.data / "mema", world.data / "public/faces", world.identity(), PSEUDONYMS
    )
    with pytest.raises(ValueError, match="1 of 16 images lack `image`; run deidentify again"):
        evaluate_identity.identity_row(short, judged)


def test_no_validation_image_and_no_donor_may_be_in_a_training_set(world):
    originals, sets = read_originals(world.data / "mema"), training(world)
    assert check_held_out(originals, sets, world.loss_recogniser, paths(world), PSEUDONYMS)["shared"] == 0
    val = shards.read_table(world.data / "mema/val")
    one = val.slice(3, 1).select(sets["train"].column_names)
    with pytest.raises(ValueError, match="1 validation images are in the training set 'train'"):
        check_held_out(
            originals,
            sets | {"train": pa.concat_tables([sets["train"], one])},
            world.loss_recogniser,
            paths(world),
            PSEUDONYMS,
        )
    other = one.set_column(0, "image_id", pa.array(["new"]))
    with pytest.raises(ValueError, match="1 validation donors are in the training set 'judge'"):
        check_held_out(originals, sets | {"judge": other}, world.loss_recogniser, paths(world), PSEUDONYMS)
    public = shards.read_table(world.data / "public/faces", columns=["image_id"])
    with pytest.raises(ValueError, match="8 validation donors are in the training set 'public'"):
        check_held_out(originals, {"public": public}, world.loss_recogniser, paths(world), PSEUDONYMS)


def test_another_releases_key_is_told_from_faces_that_are_missing(world):
    other = Pseudonyms(b"another release")
    with pytest.raises(ValueError, match=r"release_key: 8 of 8 donors of MeMa are none of the 26 public faces"):
        evaluate_identity.read_world(world.data / "mema", world.data / "public/faces", world.identity(), other)
    public = shards.read_table(world.data / "public/faces", columns=["image_id"])["image_id"].to_pylist()
    originals = read_originals(world.data / "mema")
    assert not set(originals.people) & set(public)
    assert set(originals.people) < set(PSEUDONYMS.recognise(public, originals.people))


def test_what_cannot_be_proven_fails(world, tmp_path):
    originals, sets = read_originals(world.data / "mema"), training(world)
    with pytest.raises(ValueError, match="no training set given"):
        check_held_out(originals, {}, world.loss_recogniser, paths(world), PSEUDONYMS)
    with pytest.raises(ValueError, match="'train' has no image_id"):
        check_held_out(originals, {"train": sets["train"].slice(0, 0)}, world.loss_recogniser, paths(world), PSEUDONYMS)
    with pytest.raises(ValueError, match=r"train_deid\.loss_recogniser: no file .*absent\.onnx"):
        check_held_out(originals, sets, tmp_path / "absent.onnx", paths(world), PSEUDONYMS)


def test_the_loss_recogniser_may_not_judge_under_any_name_or_export(world, tmp_path):
    originals, sets = read_originals(world.data / "mema"), training(world)
    copy = tmp_path / "sphereface.onnx"
    copy.write_bytes(world.loss_recogniser.read_bytes())
    with pytest.raises(ValueError, match=r"recognisers\.sphereface: .*the same file"):
        check_held_out(originals, sets, world.loss_recogniser, {"sphereface": copy}, PSEUDONYMS)
    model = onnx.load(world.loss_recogniser)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(48, 48)))[0].astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(turn, "turn"))
    last, name = model.graph.node[-1], model.graph.output[0].name
    last.output[0] = "unturned"
    model.graph.node.append(helper.make_node("MatMul", ["unturned", "turn"], [name]))
    onnx.save(model, copy)
    with pytest.raises(ValueError, match=r"recognisers\.sphereface: .*the same network"):
        check_held_out(originals, sets, world.loss_recogniser, {"sphereface": copy}, PSEUDONYMS)


def test_the_phantom_profiles_recognisers_are_not_the_loss_recogniser(world):
    """On the twins in git: the stage would stop if one of them judged its own training."""
    params = profile_values()
    loss = ROOT / params["train_deid"]["loss_recogniser"]
    named = {name: ROOT / path for name, path in params["evaluate_identity"]["recognisers"].items()}
    assert len(named) >= 3
    check_held_out(read_originals(world.data / "mema"), training(world), loss, named, PSEUDONYMS)
    with pytest.raises(ValueError, match="the same file"):
        check_held_out(read_originals(world.data / "mema"), training(world), loss, named | {"fourth": loss}, PSEUDONYMS)
