import math

import pytest
import torch
from torch.nn import functional as F

from models.deid import losses


def unit(*angles: float) -> torch.Tensor:
    """Return unit vectors of the plane at these angles in degrees."""
    radians = torch.tensor(angles) * math.pi / 180
    return torch.stack([radians.cos(), radians.sin()], 1)


def test_identity_losses_are_mean_cosines() -> None:
    x, other = unit(0, 0), unit(60, 120)
    assert losses.l_deid(x, other).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.l_deid(x, unit(60, 60)).item() == pytest.approx(0.5)
    assert losses.l_wrong(x, unit(60, 90)).item() == pytest.approx(0.25)
    assert losses.l_rev_id(x, unit(0, 60)).item() == pytest.approx(-0.75)


def test_a_floor_stops_the_reward_of_an_opposite_face() -> None:
    x = unit(0, 0)
    opposite = unit(180, 60).requires_grad_()
    loss = losses.l_deid(x, opposite, floor=0.0)
    assert loss.item() == pytest.approx(0.25)
    loss.backward()
    assert opposite.grad is not None
    assert (opposite.grad[0] == 0).all()
    assert (opposite.grad[1] != 0).any()


def test_l_med_is_the_mean_squared_error_in_units_of_each_channel() -> None:
    f, g = torch.zeros(1, 2, 1, 1), torch.tensor([2.0, 30.0]).view(1, 2, 1, 1)
    std = torch.tensor([1.0, 10.0]).view(1, 2, 1, 1)
    assert losses.l_med(f, g, std, torch.ones(1, 1, 1, 1)).item() == pytest.approx((4 + 9) / 2)
    places = torch.tensor([[[[0.0, 3.0]]]])
    wide = torch.zeros(1, 1, 1, 2)
    found = losses.l_med(wide, wide + torch.tensor([5.0, 2.0]), torch.ones(1, 1, 1, 1), places)
    assert found.item() == pytest.approx(4.0), "the second place alone counts"


def test_l_rev_is_the_mean_absolute_error() -> None:
    x = torch.zeros(1, 3, 2, 2)
    assert losses.l_rev(x, x + 0.25).item() == pytest.approx(0.25)


def test_hinge_losses_by_hand() -> None:
    real, fake = [torch.tensor([[[[2.0, 0.5]]]])], [torch.tensor([[[[-3.0, 0.0]]]])]
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(0.25 + 0.5)
    assert losses.l_gan(fake).item() == pytest.approx(1.5)
    both = [*real, F.avg_pool2d(real[0], (1, 2))]
    assert losses.discriminator_loss(both, [*fake, fake[0]]).item() == pytest.approx((0.75 + 0.5) / 2)
