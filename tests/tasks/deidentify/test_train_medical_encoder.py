"""The medical encoder as a stage: what it is tuned on, what it leaves, and that kills change no byte."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from safetensors.torch import load_file

from mema.params import Params
from mema.runtime import shards
from models.deid.encoders.medical_encoder import load_medical_encoder
from models.diffusion import fine_tuning
from models.diseases import DISEASES, all_prompts
from models.images import encode_png, image_id
from tasks import schemas
from tasks.deidentify import train_medical_encoder
from tests.tasks.synthesize.test_train_lora import SECTION as LORA
from tests.tasks.synthesize.test_train_lora import digests

ROOT = Path(__file__).parents[3]
GENERATOR = ROOT / "data/phantom/twins/generator"
VIT = {
    "pretrained": "", "patch_px": 8, "width": 32, "num_layers": 1, "num_heads": 2, "mlp_width": 48, "mask_ratio": 0.5,
    "epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_steps": 1, "precision": "fp32",
    "checkpoint_every": 2, "seed": 1,
}  # fmt: skip
SECTION: dict[str, Any] = {
    "kind": "diffusion", "diffusion": {"epochs": 2, "timestep": 100, "prompt": "A face, eye"}, "vit": VIT,
}  # fmt: skip


def parameters(lora: dict | None = None, **section: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["generator"] = {"path": str(GENERATOR), "ip_adapter": "none"}
    values["train_lora"] = LORA | {"batch_size": 4, "epochs": 99, "grid_every": 3} | (lora or {})
    values["train_medical_encoder"] = SECTION | section
    return Params.model_validate(values)


def write_mema(folder: Path, num: int = 8) -> None:
    """Images of 96 px with diseases in turn, graded but for the normal ones, in shards of three."""
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 256, (num, 6, 6, 3), dtype=np.uint8), np.ones((1, 16, 16, 1), np.uint8))
    rows = {name: [None] * num for name in schemas.MEMA.names}
    rows |= {
        "image_id": [image_id(image) for image in images],
        "image": [encode_png(image) for image in images],
        "disease": [DISEASES[i % 8] for i in range(num)],
        "severity": ["" if i % 8 == 0 else ("slight", "mid", "heavy")[i % 3] for i in range(num)],
        "split": ["train"] * num,
        "donor_pseudonym": [f"donor-{i}" for i in range(num)],
    }
    shards.write_shards(pa.table(rows, schema=schemas.MEMA), folder, shard_rows=3)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_mema(Path("mema/train"))


def run(params: Params, name: str = "encoder") -> dict:
    train_medical_encoder.run(Path("mema/train"), Path(name), Path(f"{name}.json"), params)
    return json.loads(Path(f"{name}.json").read_text())


@pytest.mark.slow
def test_a_second_lora_is_tuned_on_graded_captions_by_the_loop_of_train_lora(monkeypatch):
    seen: dict[str, Any] = {}
    loop = fine_tuning.train_lora

    def watch(unet, scheduler, moments, captions, table, settings, **options) -> float:
        seen.update(captions=captions.tolist(), settings=settings)
        return loop(unet, scheduler, moments, captions, table, settings, **options)

    monkeypatch.setattr(fine_tuning, "train_lora", watch)
    metrics = run(parameters())
    said = [all_prompts()[row] for row in seen["captions"]]
    assert said[0] == "A face, eye with normal"
    assert said[1:3] == [
        "A face, eye with basal cell carcinoma, mid-level",
        "A face, eye with conjunctivitis, heavy-level",
    ]
    assert (seen["settings"].rank, seen["settings"].epochs) == (LORA["rank"], 2)
    assert (metrics["kind"], metrics["photos"], metrics["steps"], metrics["channels"]) == ("diffusion", 8, 4, 96)
    assert sorted(digests(Path("encoder"))) == ["config.json", "grids/step-000003.png", "model.safetensors"]
    assert load_medical_encoder(Path("encoder")).channels == 96
    assert all((path / ".published").exists() for path in Path(".scratch").iterdir())


def test_the_lora_is_in_the_encoder():
    run(parameters(lora={"learning_rate": 1e-12, "grid_every": 0}), "barely")
    run(parameters(lora={"learning_rate": 2e-2, "grid_every": 0}), "tuned")
    a, b = (load_file(Path(name) / "model.safetensors") for name in ("barely", "tuned"))
    moved = {key for key in a if (a[key] - b[key]).abs().max() > 1e-4}
    assert any(key.startswith("block.attentions") and "to_q" in key for key in moved)
    assert all(key.startswith("block.") for key in moved)


@pytest.mark.slow
def test_a_killed_run_leaves_the_bytes_of_an_undisturbed_one(monkeypatch):
    run(parameters(), "whole")
    shards.shutil.rmtree(".scratch")
    draw = fine_tuning.draw_grid

    def kill(*given: Any) -> None:
        draw(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fine_tuning, "draw_grid", kill)
        with pytest.raises(KeyboardInterrupt):
            run(parameters(), "cut")
    assert not Path("cut").exists()
    run(parameters(), "cut")
    assert digests(Path("cut")) == digests(Path("whole"))
    assert Path("cut.json").read_bytes() == Path("whole.json").read_bytes()


@pytest.mark.parametrize("kind", ["vit", "vit_mae"])
def test_one_parameter_chooses_a_transformer(kind):
    metrics = run(parameters(kind=kind))
    assert (metrics["kind"], metrics["steps"], metrics["channels"]) == (kind, 4, 32)
    assert json.loads(Path("encoder/config.json").read_text())["kind"] == kind
    assert load_medical_encoder(Path("encoder")).channels == 32


OWN = """
import json
import torch
from models.deid.encoders.medical_encoder import MedicalEncoder

class Mean(MedicalEncoder):
    kinds, channels = ("mean",), 3

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 16)

    def save(self, folder):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"kind": "mean"}))

    @classmethod
    def load(cls, folder, config):
        return cls()

    @classmethod
    def fine_tune(cls, kind, faces, options, scratch):
        return cls(), {"images_seen": len(faces.images) * options["times"]}
"""


def test_a_fourth_encoder_is_one_file(monkeypatch):
    import models.deid.encoders

    Path("extra").mkdir()
    Path("extra/mean_encoder.py").write_text(OWN)
    monkeypatch.setattr(
        models.deid.encoders, "__path__", [*models.deid.encoders.__path__, str(Path("extra").resolve())]
    )
    assert run(parameters(kind="mean", own={"times": 3})) == {"kind": "mean", "images_seen": 24}
    assert load_medical_encoder(Path("encoder")).channels == 3
    module = sys.modules.pop("models.deid.encoders.mean_encoder")
    assert isinstance(module, ModuleType)
    module.Mean.kinds = ()  # the class lives on in its parent's list


def test_what_cannot_be_tuned_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"train_medical_encoder\.kind: 'crayon'; allowed: diffusion, vit, vit_mae"):
        run(parameters(kind="crayon"))
    with pytest.raises(ValueError, match=r"num_heads: 3 does not divide width 32"):
        parameters(vit=VIT | {"num_heads": 3})
    shards.write_shards(schemas.MEMA.empty_table(), Path("mema/train"), shard_rows=3)
    with pytest.raises(ValueError, match=r"mema/train: no images; run assemble again"):
        run(parameters())
