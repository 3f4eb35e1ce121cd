"""The judge of signs: trains, resumes bit for bit, chooses on select, saves, loads, predicts any size."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import Dinov2ForImageClassification

from models.diseases import DISEASES
from models.judges import sign_classifier
from models.judges.dinov2_weights import load_dinov2
from models.judges.sign_classifier import (
    Faces,
    FineTuning,
    groups,
    load_sign_classifier,
    mirrored,
    save_sign_classifier,
    train_sign_classifier,
)
from tests.toys.dinov2 import save_dinov2

TUNING = FineTuning(
    steps=4, batch_size=8, learning_rate=2e-3, layer_decay=0.8, weight_decay=0.05, label_smoothing=0.05,
    check_every=2, seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.set_num_threads(1)
    return str(save_dinov2(tmp_path_factory.mktemp("dinov2")))


def toy(seed: int, each: int = 3) -> Faces:
    """Each disease is a colour in the eyes' band; everywhere else is noise."""
    rng = np.random.default_rng(seed)
    disease = np.tile(np.arange(len(DISEASES)), each)
    images = rng.integers(0, 255, (len(disease), 96, 96, 3)).astype(np.uint8)
    images[:, 32:64] = np.stack([disease & 1, disease >> 1 & 1, disease >> 2], 1)[:, None, None] * 220 + 15
    return Faces(images, disease)


def train(pretrained: str, path: Path, tuning: FineTuning = TUNING):
    return train_sign_classifier(pretrained, toy(0), toy(1, 1), tuning, size_px=96, checkpoint=path)


def test_training_continued_equals_training_at_once(pretrained, tmp_path, monkeypatch):
    whole, chosen = train(pretrained, tmp_path / "a.pt")
    kept = sign_classifier.save_checkpoint

    def killed(path, step, *args, **modules):
        kept(path, step, *args, **modules)
        raise KeyboardInterrupt

    monkeypatch.setattr(sign_classifier, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(pretrained, tmp_path / "b.pt")
    monkeypatch.setattr(sign_classifier, "save_checkpoint", kept)
    again, chosen_again = train(pretrained, tmp_path / "b.pt")
    assert chosen == chosen_again
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_the_step_is_the_best_on_select_not_the_last(pretrained, tmp_path, monkeypatch):
    losses = iter([0.9, 0.4, 0.7])
    states = []

    def loss(network, *_):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(sign_classifier, "class_mean_loss", loss)
    judge, chosen = train(pretrained, tmp_path / "a.pt", replace(TUNING, steps=6))
    assert chosen == {"step": 4, "of": 6, "select_loss": 0.4}
    found = judge.network.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in states[1].items())
    assert not all(torch.equal(value, found[name]) for name, value in states[2].items())


def test_saves_what_from_pretrained_reads_and_predicts_any_size(pretrained, tmp_path):
    judge, _ = train(pretrained, tmp_path / "a.pt", replace(TUNING, steps=1))
    save_sign_classifier(judge, tmp_path / "out")
    loaded, images = load_sign_classifier(tmp_path / "out"), toy(2, 1).images
    probabilities = loaded.predict(images)
    assert np.array_equal(probabilities, judge.predict(list(images)))
    network = Dinov2ForImageClassification.from_pretrained(tmp_path / "out")
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    signal = ((torch.from_numpy(images) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = F.softmax(network(signal).logits, 1).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    sizes = [np.zeros((192, 192, 3), np.uint8), np.zeros((64, 80, 3), np.uint8)]
    assert loaded.predict(sizes).shape == (2, 8)
    assert loaded.predict([]).shape == (0, 8)
    doubled = images.repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(loaded.predict(doubled), probabilities, atol=1e-5)


def test_deeper_layers_learn_more_slowly_and_every_weight_learns(pretrained):
    network, _ = load_dinov2(pretrained)
    tuning = replace(TUNING, learning_rate=1.0, layer_decay=0.5)
    rates = {id(p): g["peak"] for g in groups(network, tuning) for p in g["params"]}
    named = {name: rates[id(p)] for name, p in network.named_parameters()}
    assert len(rates) == len(named)
    assert named["classifier.weight"] == 1.0
    assert named["dinov2.layernorm.weight"] == 0.5
    assert named["dinov2.encoder.layer.1.mlp.fc1.weight"] == 0.5
    assert named["dinov2.encoder.layer.0.mlp.fc1.weight"] == 0.25
    assert named["dinov2.embeddings.patch_embeddings.projection.weight"] == 0.125


def test_half_of_the_faces_are_mirrored():
    faces = torch.arange(400 * 2.0).view(400, 1, 1, 2).expand(400, 3, 1, 2)
    found = mirrored(faces, torch.Generator().manual_seed(0))
    flipped = found[:, 0, 0, 0] > found[:, 0, 0, 1]
    assert 0.4 < flipped.float().mean() < 0.6
    assert torch.equal(found.sort(3).values, faces)


def test_a_size_that_is_no_multiple_of_the_patch_is_refused(pretrained, tmp_path):
    with pytest.raises(ValueError, match=r"image_size_px: 100 is no multiple of DINOv2's patch of 8 px; give 96"):
        train_sign_classifier(pretrained, toy(0), toy(1, 1), TUNING, size_px=100, checkpoint=tmp_path / "a.pt")


def test_a_missing_judge_or_one_of_other_diseases_is_refused(pretrained, tmp_path):
    with pytest.raises(ValueError, match="run the stage train_judges"):
        load_sign_classifier(tmp_path)
    judge, _ = train(pretrained, tmp_path / "a.pt", replace(TUNING, steps=1))
    save_sign_classifier(judge, tmp_path / "out")
    path = tmp_path / "out/config.json"
    config = json.loads(path.read_text())
    config["id2label"]["3"] = "measles"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"measles.*run train_judges again"):
        load_sign_classifier(tmp_path / "out")


@pytest.mark.slow
def test_learns_colours_it_was_not_shown(pretrained, tmp_path):
    tuning = replace(TUNING, steps=150, batch_size=16, check_every=50)
    judge, _ = train(pretrained, tmp_path / "a.pt", tuning)
    unseen = toy(5, 2)
    assert (judge.predict(unseen.images).argmax(1) == unseen.disease).mean() > 0.8
