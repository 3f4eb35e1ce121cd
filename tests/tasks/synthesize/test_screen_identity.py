"""The screen, from shards of faces to kept, rejected and Table 1, with a toy recogniser."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from mema.params.synthesize import ScreenIdentity
from mema.runtime import shards
from models.images import encode_png, image_id
from phantom.twins.onnx_export import export_onnx
from tasks import schemas
from tasks.schemas import PATIENT_FACE, PUBLIC_FACE, SAMPLE
from tasks.synthesize import screen_identity

RNG = np.random.default_rng(0)


class Mosaic(torch.nn.Module):
    """A face's likeness is its 8 x 8 coarse colours: equal pictures are equal people."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(images, 14).flatten(1)
        return pooled - pooled.mean(1, keepdim=True)


def person() -> np.ndarray:
    return np.kron(RNG.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def photo_of(face: np.ndarray) -> np.ndarray:
    return np.clip(face + RNG.integers(-20, 21, face.shape), 0, 255).astype(np.uint8)


def table(images: list[np.ndarray], schema: pa.Schema, **columns: list) -> pa.Table:
    defaults = {"string": "", "float": 0.0, "int64": 0, "list<item: string>": [], "list<element: string>": []}
    values = {field.name: [defaults.get(str(field.type), "")] * len(images) for field in schema}
    values |= {"image": [encode_png(i) for i in images], "image_id": [image_id(i) for i in images]}
    return pa.table(values | columns, schema=schema)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """24 patients with two photos, 300 public faces, and samples of which the first ten copy patients."""
    root = tmp_path_factory.mktemp("world")
    patients = [person() for _ in range(24)]
    photos = [photo_of(face) for face in patients for _ in range(2)]
    faces = table(
        photos, PATIENT_FACE, split=["train", "heldout"] * 24, patient_id=[f"secret-{i // 2}" for i in range(48)]
    )
    shards.write_shards(faces, root / "patients", shard_rows=20)
    public = table([person() for _ in range(300)], PUBLIC_FACE, split=(["calibration"] * 4 + ["floor", "donor"]) * 50)
    shards.write_shards(public, root / "public", shard_rows=100)
    samples = [photo_of(face) for face in patients[:10]] + [person() for _ in range(50)]
    arms = (["direct"] * 8 + ["injected"] * 2) + ["direct", "injected", "injected", "random", "injected"] * 10
    rows = table(samples, SAMPLE, arm=arms, plan_row=list(range(60)))
    shards.write_shards(rows, root / "samples", shard_rows=25)
    for name in ("arcface", "cosface"):
        export_onnx(Mosaic(), root / f"{name}.onnx", torch.zeros(1, 3, 112, 112), alignment="frame")
    return root


def section(world, **changes) -> ScreenIdentity:
    values = {
        "recognisers": {n: str(world / f"{n}.onnx") for n in ("arcface", "cosface")},
        "fpir": 0.01, "block_rows": 7, "confidence": 0.95, "bootstrap": 200, "seed": 7,
    }  # fmt: skip
    return ScreenIdentity.model_validate(values | changes)


def screen(world, out, **changes) -> dict:
    arguments = (world / "samples", world / "patients", world / "public", out / "screened", out / "leakage.json")
    assert screen_identity.run(*arguments, section(world, **changes)) == 60
    return json.loads((out / "leakage.json").read_text())


def test_copies_are_rejected_and_table_1_counts_them(world, tmp_path):
    metrics = screen(world, tmp_path)
    kept, rejected = (shards.read_table(tmp_path / "screened" / name) for name in ("kept", "rejected"))
    assert set(range(10)) <= set(rejected["plan_row"].to_pylist())
    assert sorted(kept["plan_row"].to_pylist() + rejected["plan_row"].to_pylist()) == list(range(60))
    assert kept.schema.equals(schemas.screened(["arcface", "cosface"]))
    for name, row in metrics["recognisers"].items():
        assert row["ceiling"] | {"ci95": 0} == {"n": 24, "leaked": 24, "rate": 1.0, "ci95": 0}
        assert row["floor"]["n"] == 50
        assert row["direct"]["n"] == 18
        assert row["injected"]["n"] == 32
        assert row["direct"]["leaked"] >= 8
        assert row["fpir"] <= 0.01
        assert (
            max(kept[f"similarity_{name}"].to_pylist())
            <= row["threshold"]
            < min(r for r in rejected[f"similarity_{name}"].to_pylist()[:10])
        )
    assert metrics["average"]["ceiling"]["rate"] == 1.0
    counts = metrics["screened"]
    assert counts["n"] == 60 == counts["kept"] + counts["rejected"]
    assert sum(counts["reasons"].values()) == counts["rejected"] == rejected.num_rows
    assert set(rejected["reason"].to_pylist()) <= {"resembles_patient:arcface", "resembles_patient:cosface"}
    assert set(kept["reason"].to_pylist()) == {""}


def test_equal_inputs_give_equal_bytes_and_name_no_patient(world, tmp_path):
    for name in ("a", "b"):
        screen(world, tmp_path / name)
    first, second = (sorted((tmp_path / n).rglob("*.*")) for n in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert all(b"secret" not in path.read_bytes() for path in first)


def test_too_few_calibration_faces_are_refused_with_the_remedy(world, tmp_path):
    with pytest.raises(ValueError, match=r"fpir: 0.004 needs at least 249 calibration faces, 200 given"):
        screen(world, tmp_path, fpir=0.004)


def test_a_floor_beyond_doubt_fails_after_table_1_is_written(world, tmp_path):
    """Public faces of the floor that are the patients' kin: the threshold means another rate than it was set for."""
    public = shards.read_table(world / "public").to_pylist()
    kin = iter(shards.read_table(world / "patients", columns=["image"])["image"].to_pylist())
    for row in public:
        if row["split"] == "floor" and (image := next(kin, None)):
            row["image"] = image
    shards.write_shards(pa.Table.from_pylist(public, schema=PUBLIC_FACE), tmp_path / "public", shard_rows=100)
    arguments = (world / "samples", world / "patients", tmp_path / "public", tmp_path / "out", tmp_path / "t.json")
    with pytest.raises(
        ValueError, match=r"screen_identity\.fpir: arcface: 4\d of 50 .* raise ingest_public\.calibration_share"
    ):
        screen_identity.run(*arguments, section(world))
    assert json.loads((tmp_path / "t.json").read_text())["recognisers"]["arcface"]["floor"]["leaked"] >= 40
    assert not (tmp_path / "out").exists()


def test_no_recogniser_and_no_shards_are_named(world, tmp_path):
    with pytest.raises(ValueError, match="recognisers: none named"):
        screen(world, tmp_path, recognisers={})
    with pytest.raises(ValueError, match=r"no \*.parquet there"):
        screen_identity.run(tmp_path, world / "patients", world / "public", tmp_path, tmp_path, section(world))
