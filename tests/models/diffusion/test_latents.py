from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from models.diffusion.latents import LatentMoments, cache_moments, factors, from_unet, to_unet
from tests.toys.generator import SavedGenerator


@pytest.fixture
def vae(saved_generator: SavedGenerator) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(saved_generator.folder, subfolder="vae")


def test_moments_are_those_of_the_posterior(vae: AutoencoderKL, faces: np.ndarray, tmp_path: Path):
    moments = cache_moments(vae, faces, len(faces), tmp_path, batch_size=3)
    assert moments.mean.shape == (8, 6, 8, 8)
    assert moments.mean.dtype == np.float16
    signal = torch.from_numpy(faces).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        posterior = vae.encode(signal).latent_dist
    np.testing.assert_allclose(moments.mean, posterior.mean, atol=2e-3)
    np.testing.assert_allclose(moments.std, posterior.std, rtol=2e-3)


def test_draws_follow_the_posterior_scaled_and_shifted():
    mean, std = np.full((2, 1, 64, 64), 3, np.float16), np.full((2, 1, 64, 64), 0.5, np.float16)
    moments = LatentMoments(mean, std, scaling_factor=0.2, shift_factor=1.0)
    drawn = moments.draw(torch.tensor([1, 0]), torch.Generator().manual_seed(0))
    assert drawn.mean() == pytest.approx((3 - 1) * 0.2, abs=5e-3)
    assert drawn.std() == pytest.approx(0.5 * 0.2, rel=0.03)
    assert not torch.equal(drawn[0], drawn[1])


def test_scaling_is_undone():
    latents = torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(from_unet(to_unet(latents, 0.3, 0.7), 0.3, 0.7), latents)
    assert factors(AutoencoderKL(scaling_factor=0.3, shift_factor=0.7)) == (0.3, 0.7)
    assert factors(AutoencoderKL(scaling_factor=0.3)) == (0.3, 0.0)


def test_a_killed_run_goes_on_with_the_batches_that_are_missing(vae: AutoencoderKL, faces: np.ndarray, tmp_path: Path):
    whole = cache_moments(vae, faces, len(faces), tmp_path / "whole", batch_size=3)

    def cut():
        yield from faces[:7]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_moments(vae, cut(), len(faces), tmp_path / "cut", batch_size=3)
    assert (tmp_path / "cut" / "done.json").read_text() == "6"
    seen = []
    encode = vae.encode
    vae.encode = lambda x: (seen.append(len(x)), encode(x))[1]  # type: ignore[method-assign]
    resumed = cache_moments(vae, faces, len(faces), tmp_path / "cut", batch_size=3)
    assert seen == [2]
    np.testing.assert_array_equal(resumed.mean, whole.mean)
    np.testing.assert_array_equal(resumed.std, whole.std)


def test_too_few_images_are_refused(vae: AutoencoderKL, faces: np.ndarray, tmp_path: Path):
    with pytest.raises(ValueError, match="8 where 9 were announced"):
        cache_moments(vae, faces, 9, tmp_path)
