"""The classifier of diseases: trains, resumes, saves in half precision, predicts any size."""

import numpy as np
import pytest
import torch

from models.diseases import DISEASES
from models.judges import disease_classifier
from models.judges.disease_classifier import (
    DiseaseClassifier,
    load_classifier,
    predict,
    save_classifier,
    train_classifier,
)
from tests.worlds.killed import killed_at_step

WIDTHS = (8, 8, 16, 16)


def toy() -> tuple[np.ndarray, np.ndarray]:
    """Each disease is a colour in the eyes' band; everywhere else is noise."""
    rng = np.random.default_rng(0)
    disease = np.tile(np.arange(len(DISEASES)), 6)
    images = rng.integers(0, 255, (len(disease), 96, 96, 3)).astype(np.uint8)
    images[:, 40:56] = np.stack([disease & 1, disease >> 1 & 1, disease >> 2], 1)[:, None, None] * 220 + 15
    return images, disease


def train(path, steps, **more):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = DiseaseClassifier(WIDTHS)
    train_classifier(network, *toy(), steps=steps, batch_size=16, learning_rate=5e-3, seed=1, checkpoint=path, **more)
    return network


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole.pt", 4, checkpoint_every=2)
    killed_at_step(monkeypatch, disease_classifier, lambda: train(tmp_path / "part.pt", 4, checkpoint_every=2), 4)
    resumed = train(tmp_path / "part.pt", 4, checkpoint_every=2)  # from step 2
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_learns_saves_and_predicts(tmp_path):
    network = train(tmp_path / "a.pt", 100)
    images, disease = toy()
    assert (predict(network, images).argmax(1) == disease).mean() > 0.8
    save_classifier(network, tmp_path / "out")
    loaded = load_classifier(tmp_path / "out")
    probabilities = predict(loaded, images)
    assert np.abs(probabilities - predict(network, images)).max() < 0.02
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_any_square_size_and_nothing_at_all():
    network = DiseaseClassifier(WIDTHS).eval()
    assert predict(network, [np.zeros((192, 192, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)]).shape == (2, 8)
    assert predict(network, []).shape == (0, 8)


def test_a_classifier_of_other_diseases_is_refused(tmp_path):
    with pytest.raises(ValueError, match="train the twins"):
        load_classifier(tmp_path)
    save_classifier(DiseaseClassifier(WIDTHS), tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("uveitis", "measles"))
    with pytest.raises(ValueError, match="train the twins again"):
        load_classifier(tmp_path)
