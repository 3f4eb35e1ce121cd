import math

import pytest
import torch

from phantom.twins.generator.codec import codec_loss, draw_crops, eye_weights, psnr


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (24, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_psnr_of_a_constant_error():
    x = torch.full((4, 4), 100, dtype=torch.uint8)
    assert psnr(x, x + 5) == pytest.approx(20 * math.log10(255 / 5), abs=1e-4)


def test_errors_near_the_eyes_cost_more():
    x = torch.zeros(1, 3, 96, 96)
    eye, chin = x.clone(), x.clone()
    eye[:, :, 43:46, 20:30] = 1
    chin[:, :, 80:83, 20:30] = 1
    weights = eye_weights(96, 3.0)
    assert codec_loss(x, eye, weights) > 1.5 * codec_loss(x, chin, weights)
    assert codec_loss(x, x, weights) == 0


def ramp(num: int, size: int) -> torch.Tensor:
    """Pictures whose red is the row, green the column, blue the picture's number."""
    images = torch.empty(num, size, size, 3, dtype=torch.uint8)
    images[..., 0] = torch.arange(size)[:, None]
    images[..., 1] = torch.arange(size)
    images[..., 2] = torch.arange(num)[:, None, None]
    return images


def test_crops_lie_in_the_pictures_and_their_weights_on_the_same_rows():
    crops, weights = draw_crops(ramp(5, 96), 200, 48, torch.Generator().manual_seed(0))
    assert crops.shape == (200, 48, 48, 3)
    assert weights.shape == (200, 1, 48, 48)
    whole = eye_weights(96, 3.0)[0]
    for crop, weight in zip(crops.int(), weights, strict=True):
        top, left = crop[0, 0, :2].tolist()
        assert torch.equal(crop[..., 0], torch.arange(top, top + 48)[:, None].expand(48, 48).int())
        assert torch.equal(crop[..., 1], torch.arange(left, left + 48).expand(48, 48).int())
        assert torch.equal(weight, whole[:, top : top + 48, left : left + 48])
    assert set(crops[:, 0, 0, 2].tolist()) == set(range(5))
    assert set(crops[:, 0, 0, 1].tolist()) >= {0, 48}


def test_three_of_four_crops_lie_over_the_eyes():
    generator = torch.Generator().manual_seed(0)
    crops, _ = draw_crops(ramp(2, 96), 4000, 48, generator)
    tops = crops[:, 0, 0, 0].int()
    # the band begins at row 26: crops at the eyes begin between rows 13 and 26, the others between 0 and 48
    assert tops.min() == 0
    assert tops.max() == 48
    expected = 0.75 + 0.25 * 13 / 48
    assert ((tops >= 13) & (tops <= 26)).float().mean() == pytest.approx(expected, abs=0.03)


def test_a_crop_of_the_whole_picture_is_the_picture(images):
    crops, weights = draw_crops(images, 6, 64, torch.Generator().manual_seed(0))
    assert all(any(torch.equal(crop, image) for image in images) for crop in crops)
    assert torch.equal(weights, eye_weights(64, 3.0).expand(6, 1, 64, 64))
