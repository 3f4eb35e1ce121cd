"""Margin logits against values computed by hand."""

import math

import pytest
import torch

from phantom.twins.identity.margins import arcface_logits, class_cosines, cosface_logits, sphereface_logits

COSINE = torch.tensor([[0.5, 0.8], [-0.2, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([0, 1])


def test_arcface_adds_the_margin_to_the_angle():
    logits = arcface_logits(COSINE, LABELS, 0.3, 10.0)
    assert logits[0, 0].item() == pytest.approx(10 * math.cos(math.acos(0.5) + 0.3))
    assert logits[1, 1].item() == pytest.approx(10 * math.cos(math.acos(0.1) + 0.3))
    assert logits[0, 1].item() == pytest.approx(8.0)


def test_arcface_falls_on_where_the_angle_would_pass_a_half_turn():
    cosine = torch.linspace(0.999, -0.999, 400, dtype=torch.float64)[:, None]
    logits = arcface_logits(cosine, torch.zeros(400, dtype=torch.int64), 0.5, 1.0)[:, 0]
    assert (logits.diff() < 0).all()


def test_cosface_takes_the_margin_from_the_cosine():
    logits = cosface_logits(COSINE, LABELS, 0.25, 10.0)
    assert logits.tolist() == [pytest.approx([2.5, 8.0]), pytest.approx([-2.0, -1.5])]


def test_sphereface_multiplies_the_angle():
    logits = sphereface_logits(COSINE, LABELS, 2.0, 10.0)
    # θ = 60°: cos 120° = -0.5. θ = acos 0.1 = 84.26°: 2θ stays below 180°, cos 2θ = 2 * 0.01 - 1.
    assert logits[0, 0].item() == pytest.approx(-5.0)
    assert logits[1, 1].item() == pytest.approx(-9.8)


def test_sphereface_goes_on_falling_beyond_a_half_turn():
    # θ = 120°, m = 2: 240° lies in the second piece, ψ = -cos 240° - 2 = -1.5.
    cosine = torch.tensor([[-0.5]], dtype=torch.float64)
    assert sphereface_logits(cosine, torch.tensor([0]), 2.0, 1.0).item() == pytest.approx(-1.5)
    many = torch.linspace(0.999, -0.999, 400, dtype=torch.float64)[:, None]
    logits = sphereface_logits(many, torch.zeros(400, dtype=torch.int64), 1.5, 1.0)[:, 0]
    assert (logits.diff() < 0).all()


@pytest.mark.parametrize(("logits", "none"), [(arcface_logits, 0.0), (cosface_logits, 0.0), (sphereface_logits, 1.0)])
def test_no_margin_is_the_plain_softmax_and_gradients_are_finite(logits, none):
    cosine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    plain = logits(cosine, torch.tensor([0, 0]), none, 4.0)
    assert torch.allclose(plain, 4 * cosine, atol=2e-3)
    logits(cosine, torch.tensor([0, 0]), none + 0.3, 4.0).sum().backward()
    assert cosine.grad is not None
    assert torch.isfinite(cosine.grad).all()


def test_cosines_ignore_length():
    cosine = class_cosines(torch.tensor([[3.0, 4.0]]), torch.tensor([[10.0, 0.0], [0.0, -2.0]]))
    assert cosine.tolist() == [pytest.approx([0.6, -0.8])]
