"""Recogniser training: learns, resumes exactly, and its measures by hand."""

import numpy as np
import pytest
import torch

from models.identity.network import build_recogniser
from models.training.augmentation import to_signal
from phantom.twins.identity import training
from phantom.twins.identity.training import equal_error_rate, pair_similarities, ramp, tar_at_fmr, train_recogniser
from tests.worlds.killed import killed_at_step

SMALL = {"widths": (8, 8, 16, 16), "depths": (1, 1, 1), "pooling": "depthwise"}


def toy_faces() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (6, 6, 6, 3))
    identity = np.repeat(np.arange(6), 4)
    images = np.repeat(np.repeat(base[identity], 16, 1), 16, 2) + rng.integers(-8, 9, (24, 96, 96, 3))
    return np.clip(images, 0, 255).astype(np.uint8), identity


def train(path, steps, **more):
    torch.set_num_threads(1)
    network = build_recogniser(0, **SMALL)
    images, identity = toy_faces()
    train_recogniser(
        network, images, identity, loss=more.pop("loss", "arcface"), margin=more.pop("margin", 0.2),
        scale=16.0, steps=steps,
        batch_size=8, learning_rate=3e-3, seed=5, checkpoint=path, **more,
    )  # fmt: skip
    return network


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole.pt", 6, checkpoint_every=3)
    killed_at_step(monkeypatch, training, lambda: train(tmp_path / "part.pt", 6, checkpoint_every=3), 5)
    resumed = train(tmp_path / "part.pt", 6, checkpoint_every=3)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["arcface", "cosface", "sphereface"])
def test_learns_to_tell_six_people_apart(tmp_path, loss):
    network = train(tmp_path / "x.pt", 60, loss=loss, margin=1.2 if loss == "sphereface" else 0.2)
    images, identity = toy_faces()
    with torch.no_grad():
        embedding = torch.nn.functional.normalize(network(to_signal(torch.from_numpy(images), 112))).numpy()
    genuine, impostor = pair_similarities(embedding, identity)
    assert tar_at_fmr(genuine, impostor, 0.01) > 0.9


def test_the_margin_grows_then_stays():
    assert [ramp(step, 1.0, 1.5, 4) for step in (0, 2, 4, 9)] == [1.0, 1.25, 1.5, 1.5]


def test_rates_by_hand():
    genuine, impostor = np.array([0.9, 0.8, 0.3, 0.7]), np.linspace(0.0, 0.5, 1000)
    # One impostor pair of 1,000 may lie above: the threshold is the second largest, 0.4995.
    assert tar_at_fmr(genuine, impostor, 1e-3) == 0.75
    assert tar_at_fmr(genuine, np.append(impostor[:-2], [0.75, 0.76]), 1e-3) == 0.5
    assert equal_error_rate(np.array([0.6, 0.7, 0.8]), np.array([0.1, 0.2, 0.3])) == pytest.approx(0, abs=1e-3)
    assert equal_error_rate(np.array([0.1, 0.7, 0.8, 0.9]), np.array([0.1, 0.2, 0.3, 0.75])) == pytest.approx(
        0.25, abs=0.01
    )


def test_pairs_of_the_same_and_of_different_people():
    embeddings = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    genuine, impostor = pair_similarities(embeddings, np.array([4, 4, 9]))
    assert genuine.tolist() == [1.0]
    assert impostor.tolist() == [0.0, 0.0]
