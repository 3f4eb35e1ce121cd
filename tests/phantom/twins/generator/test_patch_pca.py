import math

import numpy as np
import pytest
import torch

from phantom.twins.generator.codec import build_codec, eye_weights
from phantom.twins.generator.patch_pca import (
    LOG_VARIANCE,
    WHITENING,
    anchor_last_norm,
    cells,
    lay_in_encoder,
    principal_components,
)


@pytest.fixture(scope="module")
def signal() -> torch.Tensor:
    """Smooth random pictures, -1 to 1: neighbouring pixels are alike, as in photographs."""
    noise = torch.randn(24, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, 64, mode="bicubic").tanh()


def test_cells_keep_row_column_channel_order():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert cells(x)[0, :, 0, 1].tolist() == [2, 3, 6, 7]
    assert cells(cells(x))[0, :, 0, 0].tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


def test_components_are_those_of_the_weighted_covariance():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 2, 4, 5)) * np.array([3.0, 0.5])[None, :, None, None]
    weights = torch.from_numpy(rng.uniform(0.5, 2, (4, 5)))
    vectors, mean, spread = principal_components(torch.from_numpy(points), weights, 2)
    flat = points.transpose(0, 2, 3, 1).reshape(-1, 2)
    share = np.tile(weights.numpy().ravel(), 3)
    covariance = np.cov(flat.T, aweights=share, ddof=0)
    np.testing.assert_allclose(mean, np.average(flat, axis=0, weights=share), rtol=1e-5)
    np.testing.assert_allclose(
        vectors.numpy().T @ np.diag(spread.numpy() ** 2) @ vectors.numpy(), covariance, rtol=1e-4, atol=1e-6
    )
    assert spread[0] > spread[1]
    assert vectors.abs().argmax(1).tolist() == [0, 1]
    assert (vectors.diagonal() > 0).all()


def test_the_encoder_computes_the_components(signal: torch.Tensor):
    torch.manual_seed(0)
    codec, weights = build_codec(64).eval(), eye_weights(64, 3.0)
    lay_in_encoder(codec, signal, weights)
    num = codec.config["latent_channels"]
    pool = torch.nn.functional.avg_pool2d
    first, mean, _ = principal_components(cells(cells(signal)), pool(weights, 4)[0, 0], 32)
    codes = torch.einsum("kc,nchw->nkhw", first, cells(cells(signal)) - mean[:, None, None])
    second, centre, spread = principal_components(cells(codes), pool(weights, 8)[0, 0], num)
    expected = torch.einsum("kc,nchw->nkhw", second, cells(codes) - centre[:, None, None])
    scale = spread ** (WHITENING - 1) / (spread**WHITENING).square().mean().sqrt()
    with torch.no_grad():
        posterior = codec.encode(signal).latent_dist
    torch.testing.assert_close(posterior.mean, expected * scale[:, None, None], atol=0.02, rtol=0.01)
    torch.testing.assert_close(posterior.std, torch.full_like(posterior.std, math.exp(LOG_VARIANCE / 2)))


def test_latents_of_photographs_have_unit_power(signal: torch.Tensor):
    torch.manual_seed(0)
    codec = build_codec(64).eval()
    lay_in_encoder(codec, signal, torch.ones(1, 1, 64, 64))
    with torch.no_grad():
        mean = codec.encode(signal).latent_dist.mean
    assert mean.square().mean() == pytest.approx(1, abs=0.02)
    spread = mean.std((0, 2, 3))
    assert (spread[:-1] >= spread[1:] - 1e-3).all()


def test_anchored_decoders_keep_a_change_of_brightness(signal: torch.Tensor):
    """Without constants the last normalisation takes most of a common factor away."""
    kept = []
    for anchored in (False, True):
        torch.manual_seed(0)
        decoder = build_codec(64).decoder.eval()
        if anchored:
            anchor_last_norm(decoder)
        last = decoder.up_blocks[-1].resnets[0].conv_shortcut
        x = torch.randn(2, last.in_channels, 16, 16)
        with torch.no_grad():
            bright, dim = (decoder.conv_norm_out(last(factor * x))[:, 2:].std() for factor in (1.0, 0.5))
        kept.append(float(bright / dim))
    assert kept[0] < 1.2
    assert kept[1] > 1.6
