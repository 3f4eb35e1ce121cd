"""Step 1 as a stage: which photos it sees, what it leaves, and that kills and grids change no byte."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mema.params.synthesize import Generator, TrainLora
from mema.runtime import durable, shards
from models.diffusion import fine_tuning
from models.diffusion.generator import load_generator
from models.diseases import DISEASES, all_prompts
from models.images import decode, encode_png, image_id
from tasks import schemas
from tasks.synthesize import train_lora
from tests.toys.generator import SavedGenerator, coloured_faces, save_generator

SECTION = {
    "rank": 4, "alpha": 4, "targets": "attention", "learning_rate": 5e-3, "betas": [0.9, 0.99],
    "weight_decay": 0.0, "max_grad_norm": 1.0, "batch_size": 2, "epochs": 3, "warmup_steps": 1,
    "ema_decay": 0.0, "caption_dropout": 0.1, "precision": "fp32", "checkpoint_every": 2, "grid_every": 3,
    "seed": 3,
}  # fmt: skip
SPLITS = ("train", "heldout") * 4


def write_faces(folder: Path, images: np.ndarray, splits: tuple[str, ...] = SPLITS) -> None:
    """Patients' faces in shards of three, every second one held out, diseases in turn."""
    columns: dict[str, list] = {
        "image_id": [image_id(image) for image in images],
        "image": [encode_png(image) for image in images],
        "file": [f"secret-{i}.png" for i in range(len(images))],
        "flags": [[]] * len(images),
        "age": [40.0] * len(images),
        "gender": ["female"] * len(images),
        "split": list(splits),
        "patient_id": [f"secret-{i}" for i in range(len(images))],
        "visit_date": [""] * len(images),
        "eye": ["left"] * len(images),
        "disease": [DISEASES[i % len(DISEASES)] for i in range(len(images))],
    }
    shards.write_shards(pa.table(columns, schema=schemas.PATIENT_FACE), folder, shard_rows=3)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedGenerator:
    return save_generator(tmp_path_factory.mktemp("toy"))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_faces(Path("faces"), coloured_faces())


def train(saved: SavedGenerator, name: str = "lora", *, sha256: dict | None = None, **changes: Any) -> dict:
    """Run the stage and return its metrics."""
    generator = Generator(path=str(saved.folder), ip_adapter="none", sha256=sha256 or {})
    section = TrainLora.model_validate(SECTION | changes)
    train_lora.run(Path("faces"), Path(name), Path(f"{name}.json"), generator, section)
    return json.loads(Path(name, "training.json").read_text())


def test_weights_grids_and_aggregate_metrics_are_left_and_nothing_else(saved, caplog):
    with caplog.at_level(logging.DEBUG):
        metrics = train(saved)
    assert sorted(digests(Path("lora"))) == [
        "grids/step-000003.png",
        "grids/step-000006.png",
        "pytorch_lora_weights.safetensors",
        "training.json",
    ]
    assert metrics.keys() == {"photos", "steps", "images_seen", "loss", "trainable_parameters"}
    assert (metrics["photos"], metrics["steps"], metrics["images_seen"]) == (4, 6, 12)
    # An exact count of photos, or the steps that follow from it, would tell who left between two versions.
    public = json.loads(Path("lora.json").read_text())
    assert public == {name: metrics[name] for name in ("loss", "trainable_parameters")}
    assert 0 < metrics["loss"] < 3
    assert metrics["trainable_parameters"] % 4 == 0
    assert "secret" not in caplog.text
    assert {path.name for path in Path().iterdir()} == {"faces", "lora", "lora.json", ".scratch"}
    assert all((path / ".published").exists() for path in Path(".scratch").iterdir())


def test_the_weights_move_the_generator(saved):
    train(saved)
    x, text = torch.randn(2, 6, 8, 8), torch.randn(2, 77, 32)
    plain, tuned = load_generator(saved.folder), load_generator(saved.folder, lora=Path("lora"))
    with torch.no_grad():
        difference = tuned.unet(x, 300, text).sample - plain.unet(x, 300, text).sample
    assert difference.abs().max() > 1e-3


def test_a_grid_shows_each_disease_once(saved):
    train(saved)
    sheet = decode(Path("lora/grids/step-000006.png").read_bytes())
    assert sheet.shape == (2 * 32, 4 * 32, 3)
    pictures = sheet.reshape(2, 32, 4, 32, 3).swapaxes(1, 2).reshape(8, -1)
    assert len(np.unique(pictures, axis=0)) == 8
    assert (decode(Path("lora/grids/step-000003.png").read_bytes()) != sheet).any()


@pytest.mark.slow
def test_photos_held_out_change_nothing_and_the_others_do(saved):
    train(saved, "before")
    images = coloured_faces()
    images[1::2] = 255 - images[1::2]
    write_faces(Path("faces"), images)
    train(saved, "other_held_out")
    assert digests(Path("other_held_out")) == digests(Path("before"))
    images[2] = 255 - images[2]
    write_faces(Path("faces"), images)
    train(saved, "other_train")
    weights = "pytorch_lora_weights.safetensors"
    assert digests(Path("other_train"))[weights] != digests(Path("before"))[weights]


def test_every_photo_has_the_caption_of_its_disease(saved, monkeypatch):
    seen: dict[str, Any] = {}

    def watch(unet, scheduler, moments, captions, *rest, **options) -> float:
        seen.update(captions=captions.tolist(), photos=len(moments))
        return 0.5

    monkeypatch.setattr(fine_tuning, "train_lora", watch)
    train(saved)
    names = ("normal", "conjunctivitis", "ptosis", "strabismus")  # rows 0, 2, 4, 6: every second is held out
    assert [all_prompts()[i] for i in seen["captions"]] == [f"A face, eye with {name}" for name in names]
    assert seen["photos"] == 4


def test_grids_do_not_disturb_the_training(saved):
    train(saved, "grids")
    train(saved, "plain", grid_every=0)
    assert list(digests(Path("plain"))) == ["pytorch_lora_weights.safetensors", "training.json"]
    assert digests(Path("plain")).items() <= digests(Path("grids")).items()


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [3, 4])
def test_a_killed_run_leaves_the_bytes_of_an_undisturbed_one(saved, monkeypatch, killed_at):
    """Killed behind a grid that no checkpoint covers yet, and behind one that a checkpoint covers."""
    train(saved, "whole", grid_every=1)
    shards.shutil.rmtree(".scratch")
    drawn: list[int] = []
    draw = fine_tuning.draw_grid

    def watch(generator, folder, seed, step) -> None:
        draw(generator, folder, seed, step)
        drawn.append(step)
        if drawn.count(step) == 1 and step == killed_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(fine_tuning, "draw_grid", watch)
    with pytest.raises(KeyboardInterrupt):
        train(saved, "cut", grid_every=1)
    assert not Path("cut").exists()
    first = len(drawn)
    train(saved, "cut", grid_every=1)
    assert drawn[first:] == list(range(3, 7))
    assert digests(Path("cut")) == digests(Path("whole"))
    assert Path("cut.json").read_bytes() == Path("whole.json").read_bytes()


def test_a_kill_between_outs_keeps_the_grids_for_the_next_run(saved, monkeypatch):
    train(saved, "whole")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(saved, "cut")
    train(saved, "cut")
    assert digests(Path("cut")) == digests(Path("whole"))


def test_what_killed_runs_derived_from_patients_goes_when_the_next_stage_starts(saved):
    left = Path(".scratch/train_lora-0123456789abcdef/latents")
    left.mkdir(parents=True)
    (left / "mean.npy").write_bytes(b"latents of patients")
    Path(".scratch/sample-0123456789abcdef").mkdir()
    train(saved)
    durable.sweep(Path(".scratch"), "sample")
    assert [path.name for path in Path(".scratch").iterdir()] == ["sample-0123456789abcdef"]


def test_what_cannot_be_trained_is_refused_with_a_remedy(saved, tmp_path):
    missing = SavedGenerator(tmp_path / "nowhere", saved.ip_adapter)
    with pytest.raises(ValueError, match=r"generator\.path: no folder .*give a pipeline directory"):
        train(missing)
    with pytest.raises(ValueError, match=r"generator\.sha256\.model_index\.json: expected 00"):
        train(saved, sha256={"model_index.json": "00"})
    with pytest.raises(ValueError, match=r"train_lora\.learning_rate: the loss is nan at 1e\+30; lower it"):
        train(saved, learning_rate=1e30)
    write_faces(Path("faces"), coloured_faces(), ("heldout",) * 8)
    with pytest.raises(ValueError, match=r"8 photos, none of split train; lower ingest_patients\.held_out"):
        train(saved)
    write_faces(Path("faces"), coloured_faces()[:, :24, :24])
    with pytest.raises(ValueError, match=r"image_size_px: a face of 24 x 24 px, .* makes 32 x 32; set it"):
        train(saved)


def test_a_digest_of_the_adapter_is_not_this_stages_business(saved):
    assert train(saved, sha256={"ip_adapter": "00"})["photos"] == 4
