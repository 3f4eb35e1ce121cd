"""The age and gender twin: its formulas, its training, and DeepFace loading it."""

import numpy as np
import pytest
import torch

from models.attributes.deepface import estimate
from phantom.twins.attributes import training
from phantom.twins.attributes.export import export_deepface
from phantom.twins.attributes.network import AttributeNet, DeepFaceGraph, expected_age
from phantom.twins.attributes.training import age_distribution, attribute_loss, train_attributes
from tests.worlds.killed import killed_at_step

SMALL = ((8, 8, 16, 16), (1, 1, 1))


def test_expected_age_of_a_sure_and_of_an_unsure_network():
    logits = torch.full((2, 101), -50.0)
    logits[0, 37] = 0.0
    logits[1, [20, 40]] = 0.0
    assert expected_age(logits).tolist() == pytest.approx([37.0, 30.0], abs=1e-3)


def test_age_distribution_peaks_at_the_age():
    distribution = age_distribution(torch.tensor([0.0, 50.0, 73.4]))
    assert torch.allclose(distribution.sum(1), torch.ones(3))
    assert distribution.argmax(1).tolist() == [0, 50, 73]
    assert (distribution[1] @ torch.arange(101.0)).item() == pytest.approx(50)


def test_the_right_answer_costs_less():
    age, gender = torch.tensor([30.0]), torch.tensor([1])
    right = torch.log(age_distribution(age) + 1e-9)
    wrong = torch.log(age_distribution(age + 20) + 1e-9)
    man, woman = torch.tensor([[-4.0, 4.0]]), torch.tensor([[4.0, -4.0]])
    assert attribute_loss(right, man, age, gender) < attribute_loss(wrong, man, age, gender)
    assert attribute_loss(right, man, age, gender) < attribute_loss(right, woman, age, gender)


def toy(num: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces whose brightness is their age and whose colour is their gender."""
    rng = np.random.default_rng(0)
    age, gender = rng.uniform(10, 90, num).astype(np.float32), rng.integers(0, 2, num)
    images = np.zeros((num, 96, 96, 3), np.uint8)
    images[..., 1] = (age * 2.5)[:, None, None]
    images[np.arange(num), :, :, 0] = np.where(gender == 1, 220, 20)[:, None, None]
    return images, age, gender


def train(path, steps, **more):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = AttributeNet(*SMALL)
    train_attributes(network, *toy(), steps=steps, batch_size=16, learning_rate=5e-3, seed=1, checkpoint=path, **more)
    return network


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole.pt", 4, checkpoint_every=2)
    killed_at_step(monkeypatch, training, lambda: train(tmp_path / "part.pt", 4, checkpoint_every=2), 4)
    resumed = train(tmp_path / "part.pt", 4, checkpoint_every=2)  # from step 2
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_learns_and_works_through_deepface(tmp_path):
    network = train(tmp_path / "a.pt", 120)
    export_deepface(network, tmp_path / "home")
    images, age, gender = toy()
    ages, genders = estimate(list(images), tmp_path / "home")
    assert np.abs(ages - age).mean() < 12
    assert np.mean([(g == "male") == bool(t) for g, t in zip(genders, gender, strict=True)]) > 0.95


def test_deepface_graph_takes_bgr_between_zero_and_one():
    torch.manual_seed(2)
    network = AttributeNet(*SMALL).eval()
    graph = DeepFaceGraph(network, "gender")
    rgb = torch.rand(2, 3, 112, 112)
    fed = torch.nn.functional.interpolate(rgb, scale_factor=2, mode="nearest")[:, [2, 1, 0]].permute(0, 2, 3, 1)
    with torch.no_grad():
        expected = network(2 * rgb - 1)[1].softmax(1)
        assert torch.allclose(graph(fed), expected, atol=1e-5)
