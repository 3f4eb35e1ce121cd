"""The stage on mosaics: kills, outs that load by themselves, and refusals."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderKL

from mema.params import Params, load
from mema.runtime import shards
from models.deid import training
from models.deid.deidentifier import load_deidentifier
from models.deid.encoders.medical_encoder import load_medical_encoder
from models.deid.encoders.vit_encoder import VitEncoder, build
from models.images import decode
from tasks.deidentify import train_deid
from tasks.deidentify.train_medical_encoder import options_of
from tests.toys.deid import toy_vae
from tests.worlds.deid import World, write_deid_world
from tests.worlds.profiles import profile

ROOT = Path(__file__).parents[3]
VIT = {
    "pretrained": "", "patch_px": 16, "width": 16, "num_layers": 1, "num_heads": 2, "mlp_width": 16,
    "mask_ratio": 0.5, "epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.0,
    "warmup_steps": 0, "precision": "fp32", "checkpoint_every": 1, "seed": 7,
}  # fmt: skip


class KilledError(Exception):
    """Stands for a kill."""


def parameters(world: World, **changes: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["generator"] = {"path": "generator", "ip_adapter": "none"}
    values["train_medical_encoder"] |= {"kind": "vit", "vit": VIT}
    values["train_deid"] |= {
        "loss_recogniser": str(world.loss_recogniser), "steps": 3, "halve_at": [2], "batch_size": 2,
        "checkpoint_every": 1, "grid_every": 3, "discriminator_width": 8,
    } | changes  # fmt: skip
    values["train_deid"]["networks"] |= {
        "width": 96, "num_layers": 1, "num_heads": 2, "mlp_width": 32, "num_eigenfaces": 6,
    }  # fmt: skip
    return Params.model_validate(values)


def write_workspace(folder: Path) -> World:
    """Write MeMa, a generator's autoencoder and a medical encoder."""
    found = write_deid_world(folder)
    toy_vae().save_pretrained(folder / "generator/vae")
    network, moments = build("vit", options_of("vit", parameters(found)), 96)
    VitEncoder(network.vit, "vit", moments).save(folder / "encoder")  # type: ignore[arg-type]
    return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    return write_workspace(tmp_path)


def run(params: Params, out: str = "deid") -> dict[str, Any]:
    metrics = Path(f"{out}.json")
    train_deid.run(Path("data/mema"), Path("encoder"), Path(out), metrics, params.generator, params.train_deid)
    return json.loads(metrics.read_text())


def val_images() -> np.ndarray:
    table = shards.read_table(Path("data/mema/val"), columns=["image"])
    return np.stack([decode(data.as_py()) for data in table["image"]][:3])


def test_a_killed_run_gives_the_bytes_of_a_whole_one_and_loads_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = parameters(world)
    told = run(params)
    assert (told["images"], told["steps"], told["images_seen"]) == (16, 3, 6)
    assert all(np.isfinite(value) for value in told["losses"].values())
    assert all((path / ".published").exists() for path in shards.SCRATCH.glob("train_deid-*"))
    shutil.rmtree(shards.SCRATCH)
    real, calls = training.make_fakes, 0

    def dying(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KilledError
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "make_fakes", dying)
    with pytest.raises(KilledError):
        run(params, "again")
    assert not Path("again").exists()
    assert run(params, "again") == told
    for name in ("model.safetensors", "config.json", "grids/step-000003.png"):
        assert Path("again", name).read_bytes() == Path("deid", name).read_bytes(), name
    (tmp_path / "elsewhere").mkdir()
    moved = Path("deid").rename(tmp_path / "elsewhere/deid")
    for gone in ("generator", "encoder", "again"):
        Path(gone).rename(tmp_path / f"hidden-{gone}")
    network = load_deidentifier(moved)
    keys = np.random.default_rng(0).standard_normal((3, network.password_dim)).astype(np.float32)
    faces, codes = network.encrypt(val_images(), keys)
    assert (faces != val_images()).mean() > 0.3
    assert network.decrypt(codes, keys).shape == faces.shape


def test_curves_are_written_where_a_person_can_look(world: World) -> None:
    run(parameters(world))
    curves = {file.stem for file in Path("deid/live").rglob("*.tsv")}
    assert set(training.LOSSES) <= curves


@pytest.mark.parametrize(
    ("changes", "said"), [({"learning_rate": 1e30}, r"train_deid.learning_rate: losses .*; lower it")]
)
def test_bad_values_are_named(world: World, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run(parameters(world, **changes))


def test_faces_of_another_size_than_memas_are_refused(world: World) -> None:
    params = parameters(world)
    larger = params.train_deid.model_copy(update={"image_size_px": 128})
    with pytest.raises(ValueError, match=r"image_size_px: 128, but .* holds an image of 96 x 96 px; set it to 96"):
        run(params.model_copy(update={"train_deid": larger}))


def test_an_autoencoder_of_another_stride_is_refused(world: World) -> None:
    AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
    ).save_pretrained("generator/vae")  # fmt: skip
    with pytest.raises(ValueError, match=r"generator.path: an autoencoder of stride 2"):
        run(parameters(world))


def test_losses_come_from_a_frozen_medical_encoder(world: World) -> None:
    run(parameters(world))
    before, after = (load_medical_encoder(Path(folder)) for folder in ("encoder", "deid/medical_encoder"))
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name])


def test_the_committed_section_is_what_its_profile_says() -> None:
    assert load(ROOT / "params.yaml").train_deid == profile("phantom").train_deid
    paper = profile("paper").train_deid
    assert (paper.lambda_med, paper.lambda_rev, paper.steps, paper.batch_size) == (5.0, 0.1, 300_000, 16)
    assert (paper.learning_rate, paper.halve_at, paper.betas) == (2e-4, (150_000,), (0.5, 0.99))
