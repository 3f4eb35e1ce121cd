"""The judge that did not screen: what it finds among selected images, and that it can be none of the screens."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from mema.params import Params
from mema.runtime import shards
from phantom.twins.onnx_export import export_onnx
from tasks import schemas
from tasks.synthesize import recheck_identity
from tests.tasks.synthesize.test_screen_identity import Mosaic, person, photo_of, table
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[3]


class Columns(Mosaic):
    """Another network: it weighs the colours differently."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = super().forward(images)
        return found * torch.linspace(1, 2, found.shape[1])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 patients with two photos, 300 public faces, 40 selected images of which the first five copy patients."""
    root = tmp_path_factory.mktemp("recheck")
    patients = [person() for _ in range(24)]
    photos = [photo_of(face) for face in patients for _ in range(2)]
    split = ["train", "heldout"] * 24
    owners = [f"secret-{i // 2}" for i in range(48)]
    shards.write_shards(
        table(photos, schemas.PATIENT_FACE, split=split, patient_id=owners), root / "patients", shard_rows=20
    )
    public = table(
        [person() for _ in range(300)], schemas.PUBLIC_FACE, split=(["calibration"] * 4 + ["floor", "donor"]) * 50
    )
    shards.write_shards(public, root / "public", shard_rows=100)
    images = [photo_of(face) for face in patients[:5]] + [person() for _ in range(35)]
    rows: pa.Table = table(images, schemas.selected(["arcface"]), arm=["injected"] * 40)
    shards.write_shards(rows, root / "selected", shard_rows=16)
    export_onnx(Mosaic(), root / "arcface.onnx", torch.zeros(1, 3, 112, 112), alignment="frame")
    export_onnx(Columns(), root / "other.onnx", torch.zeros(1, 3, 112, 112), alignment="frame")
    return root


def parameters(world: Path, recogniser: str = "other.onnx", name: str = "other") -> Params:
    document = profile_values()
    document["inputs"]["recognisers"] = str(world)
    document["screen_identity"] |= {"recognisers": {"arcface": str(world / "arcface.onnx")}, "bootstrap": 100}
    document["evaluate_identity"]["recognisers"] = document["screen_identity"]["recognisers"]
    document["recheck_identity"] = {"name": name, "recogniser": str(world / recogniser)}
    return Params.model_validate(document)


def test_copies_among_the_selected_are_found_and_nobody_is_named(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "recheck.json"
    done = recheck_identity.run(world / "selected", world / "patients", world / "public", out, parameters(world))
    assert done == 40
    row = json.loads(out.read_text())["recognisers"]["other"]
    assert row["released"]["n"] == 40
    assert 5 <= row["released"]["leaked"] <= 8
    assert row["released"]["ci95"][0] < 5 / 40 < row["released"]["ci95"][1]
    assert (row["ceiling"]["leaked"], row["ceiling"]["n"]) == (24, 24)
    assert row["floor"]["n"] == 50
    assert "secret" not in out.read_text()


def test_a_screen_is_refused_by_name_by_path_and_by_its_bytes(world: Path, tmp_path: Path) -> None:
    for values in ({"name": "arcface"}, {"recogniser": "arcface.onnx"}):
        with pytest.raises(ValueError, match=r"is among screen_identity\.recognisers; name a recogniser"):
            parameters(world, **values)
    (world / "copy.onnx").write_bytes((world / "arcface.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"copy\.onnx is arcface, which screened"):
        recheck_identity.run(
            world / "selected", world / "patients", world / "public", tmp_path / "r.json",
            parameters(world, "copy.onnx"),
        )  # fmt: skip
    assert not (tmp_path / "r.json").exists()
