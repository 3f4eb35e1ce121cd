"""DINOv2's twin: the stage at toy size, what it teaches, and the twin in git by what it says of itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import Dinov2Model

from models.diseases import DISEASES
from models.judges.dinov2_weights import load_dinov2
from models.training.augmentation import to_signal
from phantom.drawing import render, sample_phantom, sample_shot
from phantom.stages import twin_dinov2
from phantom.stages.twin_data import PairedPhotos

TWINS = Path("data/phantom/twins")


def test_lessons_name_the_healthy_photo_and_the_sick_one():
    images = np.arange(2 * 2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 2, 4, 4, 3)
    photos = PairedPhotos(images, np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), ["bcc", "normal"], ["mid", ""])
    found = twin_dinov2.lessons(photos)
    assert [DISEASES[k] for k in found.disease] == ["normal", "bcc", "normal", "normal"]
    assert np.array_equal(found.images[1], images[0, 1])
    assert found.traits.tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]


@torch.no_grad()
def features(network, normalisation, faces: np.ndarray) -> np.ndarray:
    signal = normalisation(to_signal(torch.from_numpy(faces), 96))
    return torch.nn.functional.normalize(network.dinov2(signal).pooler_output.float()).numpy()


def strangers(seed: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return faces of people whom no training saw, every other one with a tumour on both eyes."""
    rng = np.random.default_rng(seed)
    sick = np.arange(num) % 2
    wears = [{"disease": "bcc", "severity": "heavy", "eye": "both"} if ill else {} for ill in sick]
    faces = [render(sample_phantom(rng), sample_shot(rng), size=96, **worn).image for worn in wears]
    return np.stack(faces), sick


def told_apart(network, normalisation) -> float:
    """Return the share of strangers whose nearest other stranger is as ill or as well as they are."""
    (known, labels), (asked, truth) = strangers(930, 60), strangers(931, 40)
    alike = features(network, normalisation, asked) @ features(network, normalisation, known).T
    return float((labels[alike.argmax(1)] == truth).mean())


def test_the_twin_in_git_is_a_backbone_that_reads_strangers():
    network, normalisation = load_dinov2(str(TWINS / "dinov2"))
    assert "classifier.weight" not in Dinov2Model.from_pretrained(TWINS / "dinov2").state_dict()
    assert normalisation.mean == (0.5, 0.5, 0.5)
    assert (TWINS / "dinov2/model.safetensors").stat().st_size < 1.2e6
    assert network.config.image_size == 96
    found = told_apart(network.eval(), normalisation)
    torch.manual_seed(0)
    untrained = type(network)(network.config).eval()
    assert found >= 0.85
    assert found >= told_apart(untrained, normalisation) + 0.1


@pytest.mark.slow
def test_the_stage_writes_what_transformers_loads(tmp_path):
    torch.set_num_threads(1)
    params = yaml.safe_load(Path("data/phantom/params.yaml").read_text())
    params["twin_generator"] |= {"num_identities": 6}
    unseen = {"num_identities": 9, "shots": 1, "sign_share": 0.9, "seed": 92}
    params["twin_dinov2"] |= {"steps": 2, "batch_size": 4, "num_layers": 1, "hidden_size": 32, "num_heads": 2}
    params["twin_dinov2"] |= {"patch_images": 12, "unseen": unseen}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    paths = (tmp_path / "dinov2", tmp_path / "dinov2.json", tmp_path / "params.yaml", tmp_path / "scratch")
    twin_dinov2.main(TWINS / "classifier", *paths)
    network, _ = load_dinov2(str(tmp_path / "dinov2"))
    assert network.config.num_hidden_layers == 1
    assert json.loads(paths[1].read_text())["n"] == 9
    before = (tmp_path / "dinov2/model.safetensors").read_bytes()
    twin_dinov2.main(TWINS / "classifier", *paths)
    assert (tmp_path / "dinov2/model.safetensors").read_bytes() == before
