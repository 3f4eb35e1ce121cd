"""Inpainting around the eyes with the toy pipeline: what is kept, what is new, and on what it depends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.diffusion.generator import load_generator
from models.diffusion.inpainting import Inpainting, InpaintingSettings, denoise_around, kept_latents, put_back
from tests.toys.generator import coloured_faces, save_generator

SETTINGS = InpaintingSettings(0.25, 0.5, 0.125, 0.875, 0.0, 2, 3.0, 3, 7)
FACES = coloured_faces()
DISEASES = ["bcc", "tao", "normal", "uveitis", "ptosis"]
NOBODY = np.zeros((5, 512), np.float32)
ROWS, COLUMNS = slice(8, 16), slice(4, 28)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return load_generator(save_generator(tmp_path_factory.mktemp("toy")).folder)


def test_the_band_is_kept_and_the_rest_is_new(generator):
    made = Inpainting(generator, SETTINGS).draw(FACES[:5], DISEASES)
    np.testing.assert_array_equal(made[:, ROWS, COLUMNS], FACES[:5, ROWS, COLUMNS])
    outside = np.ones((32, 32), bool)
    outside[ROWS, COLUMNS] = False
    assert (made[:, outside] != FACES[:5, outside]).mean() > 0.9


def test_each_result_depends_on_its_image_its_disease_and_the_seed_alone(generator):
    method = Inpainting(generator, SETTINGS)
    together = method.draw(FACES[:5], DISEASES)
    order = [4, 0, 3]
    others = method.draw(FACES[order], [DISEASES[i] for i in order])
    np.testing.assert_array_equal(others, together[order])
    reseeded = Inpainting(generator, replace(SETTINGS, seed=8)).draw(FACES[:1], DISEASES[:1])
    assert (reseeded[0] != together[0]).any()
    renamed = method.draw(FACES[:1], ["scc"])
    assert (renamed[0] != together[0]).any()


def test_latents_in_the_band_end_as_the_originals_and_the_unet_saw_them_noised(generator, monkeypatch):
    seen, forward = [], type(generator.unet).forward

    def watched(self, sample, timestep, *arguments, **options):
        seen.append((sample[: len(sample) // 2].float().clone(), int(timestep)))
        return forward(self, sample, timestep, *arguments, **options)

    monkeypatch.setattr(type(generator.unet), "forward", watched)
    source = torch.Generator().manual_seed(0)
    originals, noise = (torch.randn(2, 6, 8, 8, generator=source) for _ in range(2))
    text = generator.prompt_table[:2]
    kept = kept_latents(8, SETTINGS)
    found = denoise_around(generator, originals, kept, noise, text, text, SETTINGS)
    inside = kept.bool()
    torch.testing.assert_close(found[:, :, inside], originals[:, :, inside])
    assert (found[:, :, ~inside] - originals[:, :, ~inside]).abs().mean() > 0.1
    betas = torch.linspace(0.0001**0.5, 0.02**0.5, 1000) ** 2
    sample, timestep = seen[1]
    signal = torch.cumprod(1 - betas, 0)[timestep]
    expected = signal.sqrt() * originals + (1 - signal).sqrt() * noise
    torch.testing.assert_close(sample[:, :, inside], expected[:, :, inside], atol=1e-4, rtol=1e-4)


def test_every_cell_that_touches_the_band_is_kept():
    kept = kept_latents(12, InpaintingSettings(0.33, 0.62, 0.1, 0.9, 0.02, 2, 3.0, 3, 7)).numpy()
    assert np.flatnonzero(kept.any(1)).tolist() == [3, 4, 5, 6, 7]
    assert np.flatnonzero(kept.any(0)).tolist() == list(range(1, 11))


def test_the_edge_fades_outwards_from_exact_pixels():
    images, drawn = np.full((1, 100, 100, 3), 200, np.uint8), np.zeros((1, 100, 100, 3), np.uint8)
    column = put_back(drawn, images, replace(SETTINGS, edge=0.02))[0, :, 50, 0].tolist()
    assert column[25:50] == [200] * 25
    assert column[20:25] == [0, 0, 50, 100, 150]


def test_a_band_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"inpaint: \(0\.6, 0\.5, 0\.125, 0\.875\) is no band"):
        replace(SETTINGS, top=0.6)
