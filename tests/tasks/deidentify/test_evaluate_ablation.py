"""The ablation as a stage: which arms are trained on what, that a kill loses none, and what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mema.params import Params
from mema.runtime import durable, shards
from models.deid.encoders.vit_encoder import VitEncoder, build
from models.images import image_id
from models.judges.dinov2_weights import load_dinov2
from models.judges.sign_classifier import SignClassifier, save_sign_classifier
from tasks.deidentify import evaluate_ablation
from tasks.deidentify.train_medical_encoder import options_of
from tests.tasks.deidentify.test_train_medical_encoder import GENERATOR, ROOT, VIT
from tests.toys.dinov2 import save_dinov2
from tests.worlds.deid import PSEUDONYMS, World, write_deid_world

SECTION: dict[str, Any] = {
    "models": ["M1", "M2", "M3", "M4", "full"], "encoders": ["vit", "vit_mae"], "lambda_med": [5.0, 0.0],
    "lambda_rev": [0.1], "steps": 2, "bootstrap": 20, "seed": 7,
}  # fmt: skip
FILES = ("data/mema", "data/public/faces", "encoder", "judge", "sweeps.svg", "ablation.json")


def parameters(world: World, **section: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["generator"] = {"path": str(GENERATOR), "ip_adapter": "none"}
    values["train_medical_encoder"] = {
        "kind": "vit", "diffusion": {"epochs": 1, "timestep": 1, "prompt": ""}, "vit": VIT,
    }  # fmt: skip
    values["evaluate_ablation"] = SECTION | {"recogniser": world.recognisers["coarse"]} | section
    values["train_deid"] |= {
        "loss_recogniser": str(world.loss_recogniser), "steps": 100, "halve_at": [50], "batch_size": 2,
        "lambda_med": 5.0, "lambda_rev": 0.1, "checkpoint_every": 1,
    }  # fmt: skip
    values["train_deid"]["networks"] |= {"num_layers": 1, "mlp_width": 64, "num_eigenfaces": 8}
    return Params.model_validate(values)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    found = write_deid_world(tmp_path)
    options = options_of("vit", parameters(found))
    network, moments = build("vit", options, 96)
    VitEncoder(network.vit, "vit", moments).save(Path("encoder"))  # type: ignore[arg-type]
    torch.manual_seed(0)
    save_sign_classifier(SignClassifier(*load_dinov2(str(save_dinov2(tmp_path / "dinov2"))), 96), Path("judge"))
    return found


def run(params: Params) -> dict[str, Any]:
    mema, public, encoder, judge, plot, metrics = map(Path, FILES)
    evaluate_ablation.run(mema, public, encoder, judge, plot, metrics, params)
    return json.loads(Path("ablation.json").read_text())


def settings_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Watch the trainings, which run as they are: (faces, uses f_med, lambda_med, lambda_rev, halve_at)."""
    seen: list[tuple] = []
    train = evaluate_ablation.train_deid

    def watch(model, judges, features, settings, **options):
        uses = bool(model.config.med_channels)
        told = (uses, settings.lambda_med, settings.lambda_rev, settings.steps, settings.halve_at)
        seen.append((np.array(features.images[: len(features) // 2]), *told))
        return train(model, judges, features, settings, **options)

    monkeypatch.setattr(evaluate_ablation, "train_deid", watch)
    return seen


@pytest.mark.slow
def test_arms_are_trained_as_table_9_says_each_once(world, monkeypatch):
    seen = settings_of(monkeypatch)
    found = run(parameters(world))
    assert [told[1:] for told in seen] == [
        (False, 0.0, 0.1, 2, (1,)),  # M1
        (False, 0.0, 0.1, 2, (1,)),  # M2
        (True, 0.0, 0.1, 2, (1,)),
        (False, 5.0, 0.1, 2, (1,)),
        (True, 5.0, 0.1, 2, (1,)),  # the full model, also the sweeps' and the table of encoders'
        (True, 5.0, 0.1, 2, (1,)),  # with the other encoder
    ]
    public, mema = seen[0][0], seen[1][0]
    assert not {image.tobytes() for image in public} & {image.tobytes() for image in mema}
    assert [row["model"] for row in found["rows"]] == ["M1", "M2", "M3", "M4", "full"]
    assert [(row["dataset"], row["f_med"], row["l_med"]) for row in found["rows"][:3]] == [
        ("public", False, False), ("mema", False, False), ("mema", True, False),
    ]  # fmt: skip
    assert [row["encoder"] for row in found["encoders"]] == ["vit", "vit_mae"]
    full = {key: found["rows"][4][key] for key in ("id_dis", "med_class", "psnr")}
    for other in (found["encoders"][0], found["sweeps"]["lambda_med"][1], found["sweeps"]["lambda_rev"][0]):
        assert {key: other[key] for key in full} == full
    assert [row["value"] for row in found["sweeps"]["lambda_med"]] == [0.0, 5.0]
    assert all(0 < row["id_dis"]["value"] < 2 and row["id_dis"]["n"] == 16 for row in found["rows"])
    assert Path("sweeps.svg").read_bytes().startswith(b"<?xml")
    assert all((path / ".published").exists() for path in Path(".scratch").glob("evaluate_ablation-*"))


@pytest.mark.slow
def test_public_faces_of_m1_leave_out_the_donors_of_the_validation_split(world, monkeypatch):
    seen = settings_of(monkeypatch)
    run(parameters(world, models=["M1"], encoders=[], lambda_med=[], lambda_rev=[]))
    donors = set(evaluate_ablation.read_originals(Path("data/mema")).people)
    used = PSEUDONYMS.of([image_id(image) for image in seen[0][0]])
    assert len(set(used)) == len(used) == 16  # as many as MeMa has for training
    assert not donors & set(used)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_next_arm(world, monkeypatch):
    few = {"encoders": [], "lambda_med": [], "lambda_rev": [], "models": ["M2", "M4"]}
    whole = run(parameters(world, **few))
    shards.shutil.rmtree(".scratch")
    with monkeypatch.context() as patch:
        write = durable.write_json

        def kill(path: Path, value: Any) -> None:
            write(path, value)
            if path.name.startswith("mema-"):
                raise KeyboardInterrupt

        patch.setattr(durable, "write_json", kill)
        with pytest.raises(KeyboardInterrupt):
            run(parameters(world, **few))
    seen = settings_of(monkeypatch)
    assert run(parameters(world, **few)) == whole
    assert [told[2] for told in seen] == [5.0]


def test_the_loss_recogniser_may_not_judge(world):
    with pytest.raises(ValueError, match=r"evaluate_ablation\.recogniser: .*loss\.onnx is train_deid\.loss_recog"):
        run(parameters(world, recogniser=str(world.loss_recogniser)))
    empty = {"models": [], "encoders": [], "lambda_med": [], "lambda_rev": []}
    with pytest.raises(ValueError, match=r"are all empty; name one at least"):
        parameters(world, **empty)
