from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from PIL import Image

from models.diffusion.generator import LoadedGenerator, embed_donor, load_generator
from models.diffusion.latents import LatentMoments
from models.diffusion.lora import LoraSettings, add_lora, save_lora, train_lora
from models.diffusion.sampling import Row, SamplingSettings, decode_latents, sample_latents, sample_rows
from tests.toys.generator import SavedGenerator

SETTINGS = SamplingSettings(num_inference_steps=4, guidance_scale=3.0, batch_size=5)
PROMPTS = (
    "A face, eye with ptosis",
    "A face, eye with uveitis, heavy-level",
    "A face, eye with normal",
    "A face, eye with thyroid associated ophthalmopathy, slight-level",
    "A face, eye with ptosis, mid-level",
)
WEIGHTS = (0.2, 0.4, 1.0, 0.0, 0.31)


@pytest.fixture(scope="module")
def lora(saved_generator: SavedGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of a few large steps, so that a forgotten fuse shows."""
    folder = tmp_path_factory.mktemp("lora")
    settings = LoraSettings(
        rank=4, alpha=8, targets="attention+convolutions", learning_rate=2e-2, betas=(0.9, 0.99),
        weight_decay=0.0, max_grad_norm=1.0, batch_size=2, epochs=3, warmup_steps=1,
        ema_decay=0.0, caption_dropout=0.0, precision="fp32", checkpoint_every=9, grid_every=0, seed=0,
    )  # fmt: skip
    pipeline = StableDiffusionPipeline.from_pretrained(saved_generator.folder)
    add_lora(pipeline.unet, settings)
    mean = np.random.default_rng(0).normal(size=(4, 6, 8, 8)).astype(np.float16)
    moments = LatentMoments(mean, np.full_like(mean, 0.1), 0.7, 0.0)
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    captions, table = torch.zeros(4, dtype=torch.long), torch.randn(1, 77, 32)
    train_lora(pipeline.unet, scheduler, moments, captions, table, settings, checkpoint=folder / "c.pt")
    save_lora(pipeline.unet, folder, settings)
    return folder


@pytest.fixture(scope="module")
def generator(saved_generator: SavedGenerator, lora: Path) -> LoadedGenerator:
    return load_generator(saved_generator.folder, ip_adapter=saved_generator.ip_adapter, lora=lora)


@pytest.fixture(scope="module")
def stock(saved_generator: SavedGenerator, lora: Path) -> StableDiffusionPipeline:
    """diffusers' own pipeline with its own LoRA and IP-Adapter loaders."""
    pipeline = StableDiffusionPipeline.from_pretrained(saved_generator.folder)
    pipeline.load_lora_weights(lora)
    file = saved_generator.ip_adapter
    pipeline.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def rows(generator: LoadedGenerator, faces: np.ndarray) -> list[Row]:
    """Five rows, each with its own prompt, donor, weight and seed; the fourth is not injected."""
    embeddings = [embed_donor(generator, face) for face in faces[:5]]
    return [
        Row(prompt, seed, embedding if weight else None, weight)
        for seed, (prompt, embedding, weight) in enumerate(zip(PROMPTS, embeddings, WEIGHTS, strict=True))
    ]


def run_stock(pipeline: StableDiffusionPipeline, face: np.ndarray, row: Row, guidance: float) -> torch.Tensor:
    """Return the latents of one row by the stock pipeline, alone."""
    pipeline.set_ip_adapter_scale(row.injection_weight)
    return pipeline(
        row.prompt, height=32, width=32, num_inference_steps=4, guidance_scale=guidance, output_type="latent",
        generator=torch.Generator().manual_seed(row.seed), ip_adapter_image=Image.fromarray(face),
    ).images  # fmt: skip


def relative_error(x: torch.Tensor, reference: torch.Tensor) -> float:
    return float((x - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_a_batch_equals_the_stock_pipeline_one_by_one(
    generator: LoadedGenerator, stock: StableDiffusionPipeline, rows: list[Row], faces: np.ndarray, guidance: float
):
    ours = sample_latents(generator, rows, replace(SETTINGS, guidance_scale=guidance))
    for face, row, latents in zip(faces, rows, ours, strict=False):
        assert relative_error(latents, run_stock(stock, face, row, guidance)[0]) < 1e-5


def test_a_batch_equals_the_rows_alone(generator: LoadedGenerator, rows: list[Row]):
    together = sample_latents(generator, rows, SETTINGS)
    for row, latents in zip(rows, together, strict=True):
        assert relative_error(sample_latents(generator, [row], SETTINGS)[0], latents) < 1e-5


def test_threads_that_share_a_generator_keep_their_donors(generator: LoadedGenerator, rows: list[Row]):
    strong = [row if row.embedding is None else replace(row, injection_weight=0.9) for row in rows]
    batches = [rows, rows[::-1], strong] * 2
    alone = [sample_rows(generator, batch, SETTINGS) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda batch: sample_rows(generator, batch, SETTINGS), batches))
    assert not torch.equal(alone[0], alone[2])
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_every_condition_moves_its_row_and_no_other(generator: LoadedGenerator, rows: list[Row]):
    before = sample_latents(generator, rows, SETTINGS)
    changes = {"prompt": PROMPTS[0], "seed": 99, "embedding": rows[0].embedding, "injection_weight": 0.9}
    for field, value in changes.items():
        after = sample_latents(generator, [*rows[:2], replace(rows[2], **{field: value}), *rows[3:]], SETTINGS)
        moved = [relative_error(x, y) for x, y in zip(after, before, strict=True)]
        assert moved[2] > 1e-3, field
        assert max(moved[:2] + moved[3:]) < 1e-6, field


def test_stock_batches_mix_identities(stock: StableDiffusionPipeline, faces: np.ndarray):
    """The trap this module avoids: the stock batch of two donors runs and is wrong."""
    rows = [Row(PROMPTS[0], seed, torch.empty(0), 0.6) for seed in range(2)]
    alone = torch.cat([run_stock(stock, face, row, 3.0) for face, row in zip(faces, rows, strict=False)])
    stock.set_ip_adapter_scale(0.6)
    together = stock(
        [PROMPTS[0]] * 2, height=32, width=32, num_inference_steps=4, guidance_scale=3.0, output_type="latent",
        generator=[torch.Generator().manual_seed(row.seed) for row in rows],
        ip_adapter_image=[[Image.fromarray(face) for face in faces[:2]]],
    ).images  # fmt: skip
    assert relative_error(together, alone) > 1e-2


def test_equal_rows_give_equal_pixels_in_any_place_beside_any_neighbour(generator: LoadedGenerator, rows: list[Row]):
    pixels = sample_rows(generator, rows, SETTINGS)
    for order in ([4, 3, 2, 1, 0], [2, 0], [1], [3, 3, 1, 4]):
        again = sample_rows(generator, [rows[i] for i in order], SETTINGS)
        assert torch.equal(again, pixels[order]), order


def test_pixels_are_those_of_the_stock_decoder(
    generator: LoadedGenerator, stock: StableDiffusionPipeline, rows: list[Row], faces: np.ndarray
):
    ours = sample_rows(generator, rows[:1], SETTINGS)[0].numpy().astype(int)
    latents = run_stock(stock, faces[0], rows[0], 3.0)
    with torch.no_grad():
        signal = stock.vae.decode(latents / 0.7).sample
    theirs = np.asarray(stock.image_processor.postprocess(signal)[0], dtype=int)
    assert ours.shape == (32, 32, 3)
    assert np.abs(ours - theirs).max() <= 1


def test_without_adapter_the_direct_arm_is_the_same(
    saved_generator: SavedGenerator, generator: LoadedGenerator, lora: Path, rows: list[Row]
):
    direct = [Row(row.prompt, row.seed) for row in rows]
    plain = load_generator(saved_generator.folder, lora=lora)
    expected = sample_latents(plain, direct, SETTINGS)
    assert relative_error(sample_latents(generator, direct, SETTINGS), expected) < 1e-5
    with pytest.raises(ValueError, match=r"no IP-Adapter; set generator\.ip_adapter"):
        sample_latents(plain, rows, SETTINGS)


def test_bf16_is_close(saved_generator: SavedGenerator, lora: Path, generator: LoadedGenerator, rows: list[Row]):
    low = load_generator(saved_generator.folder, ip_adapter=saved_generator.ip_adapter, lora=lora, precision="bf16")
    difference = sample_rows(low, rows, SETTINGS).float() - sample_rows(generator, rows, SETTINGS).float()
    assert difference.abs().mean() < 3
    assert difference.abs().max() > 0


def test_rows_that_cannot_be_sampled_are_refused(generator: LoadedGenerator, rows: list[Row]):
    with pytest.raises(ValueError, match="prompt: 'a dog' is not in the prompt table"):
        sample_latents(generator, [Row("a dog", 0)], SETTINGS)
    with pytest.raises(ValueError, match=r"injection_weight: 0\.3 without a donor; allowed: 0"):
        Row(PROMPTS[0], 0, None, 0.3)
    with pytest.raises(ValueError, match="rows: 6 in a batch; allowed: 1 to batch_size 5"):
        sample_rows(generator, [*rows, rows[0]], SETTINGS)


def test_decoding_undoes_the_scaling(generator: LoadedGenerator, faces: np.ndarray):
    signal = torch.from_numpy(faces[:2]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        latents = generator.vae.encode(signal).latent_dist.mean
        expected = generator.vae.decode(latents).sample
    expected = ((expected + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1)
    assert (decode_latents(generator, latents * 0.7).float() - expected).abs().max() <= 0.51
