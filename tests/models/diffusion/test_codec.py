import math

import pytest
import torch

from models.diffusion.codec import (
    build_codec,
    codec_loss,
    encode_mean,
    eye_weights,
    normalise_latents,
    psnr,
    reconstruct,
)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (24, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_normalising_latents_keeps_the_pictures_and_gives_unit_variance(images):
    torch.manual_seed(0)
    codec = build_codec(64).eval()
    before = torch.cat(list(reconstruct(codec, images)))
    normalise_latents(codec, images)
    latents = encode_mean(codec, images)
    after = torch.cat(list(reconstruct(codec, images)))
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(16), atol=0.05, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(16), atol=0.05, rtol=0)
    assert (before.int() - after.int()).abs().max() <= 1


def test_posterior_spread_is_scaled_like_its_mean(images):
    torch.manual_seed(0)
    codec = build_codec(64).eval()
    x = images[:4].permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        old = codec.encode(x).latent_dist
        normalise_latents(codec, images)
        new = codec.encode(x).latent_dist
    ratio_mean = new.mean.std((0, 2, 3)) / old.mean.std((0, 2, 3))
    ratio_std = (new.std / old.std).mean((0, 2, 3))
    torch.testing.assert_close(ratio_mean, ratio_std, rtol=1e-3, atol=1e-4)


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
