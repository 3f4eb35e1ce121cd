from pathlib import Path

import pytest
import torch

from models.diffusion.ip_adapter import attach
from models.diseases import all_prompts
from phantom.twins.generator.codec import LATENT_CHANNELS
from phantom.twins.generator.pretraining import PretrainingSet, draw_batch, train_generator
from phantom.twins.generator.twin_networks import (
    EMBED_DIM,
    PROMPT_TOKENS,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)


def _data(n: int = 40) -> PretrainingSet:
    g = torch.Generator().manual_seed(0)
    rows = torch.arange(n)
    return PretrainingSet(
        latents_a=torch.zeros(n, LATENT_CHANNELS, 4, 4),
        latents_b=torch.ones(n, LATENT_CHANNELS, 4, 4),
        embeds_a=torch.randn(n, EMBED_DIM, generator=g) + 5,
        prompt_a=torch.full((n,), 1),
        prompt_b=10 + rows % 5,
        caption_b=2 + rows % 5,
    )


def test_the_disease_is_told_by_the_text_of_its_own_photo():
    batch = draw_batch(_data(), 4000, torch.Generator().manual_seed(1))
    sick = batch.latents.mean((1, 2, 3)) == 1
    assert set(batch.prompts[~sick].tolist()) == {0, 1}
    assert 1 not in batch.prompts[sick].tolist()
    assert 0.65 < sick.float().mean() < 0.75
    assert 0.08 < (batch.prompts == 0).float().mean() < 0.12


def test_donors_are_dropped_in_two_ways():
    batch = draw_batch(_data(), 4000, torch.Generator().manual_seed(1))
    absent, zeroed = batch.weights == 0, batch.embeds.abs().sum(1) == 0
    assert 0.08 < absent.float().mean() < 0.12
    assert 0.08 < zeroed.float().mean() < 0.12
    assert not (absent & zeroed).any()
    assert batch.weights[~absent].min() >= 0.2


def test_every_prompt_has_tokens_of_its_own():
    tokenizer = build_tokenizer()
    ids = tokenizer(list(all_prompts()), padding="max_length", max_length=PROMPT_TOKENS).input_ids
    assert len({tuple(row) for row in ids}) == len(all_prompts()) == 30
    assert max(len(tokenizer(p).input_ids) for p in all_prompts()) <= PROMPT_TOKENS


@pytest.mark.slow
def test_a_killed_pretraining_ends_with_the_same_weights(tmp_path: Path):
    def run(steps: int, name: str) -> torch.Tensor:
        torch.manual_seed(0)
        tokenizer = build_tokenizer()
        ids = tokenizer(list(all_prompts()), padding="max_length", max_length=PROMPT_TOKENS, return_tensors="pt")
        unet, text = build_unet(4), build_text_encoder(tokenizer)
        injection = attach(unet, EMBED_DIM)
        train_generator(
            unet, text, injection, ids.input_ids, _data(), steps=steps, batch_size=2, learning_rate=1e-3,
            ema_decay=0.5, seed=1, checkpoint=tmp_path / name, checkpoint_every=1, total_steps=3,
        )  # fmt: skip
        return torch.cat([p.flatten() for p in [*unet.parameters(), *injection.parameters()]])

    whole = run(3, "whole.pt")
    run(2, "killed.pt")
    assert torch.equal(run(3, "killed.pt"), whole)
