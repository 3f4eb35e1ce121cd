"""Every hot path at toy size: its candidates run, their results are equal, and a wrong result is found."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import Case, measure
from benchmarks.paths import (
    deid_step,
    embed,
    image_writer,
    leak_nn,
    lora_step,
    orchestration,
    sample_batch,
    train_reads,
)
from benchmarks.studies import pictures
from models.identity import search


def run(case: Case) -> str:
    """Measure one turn of all candidates, and return what was found equal."""
    row = measure(case, 1)
    assert row.ours_seconds > 0
    assert all(peer["ratio"] > 0 for peer in row.peers.values())
    return row.equal


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("kind", leak_nn.KINDS)
def test_leak_nn(kind, half):
    assert "64 of 64 rows are the nearest" in run(leak_nn.case(64, 500, 32, kind, half))


def test_leak_nn_finds_a_wrong_neighbour(monkeypatch):
    case = leak_nn.case(64, 500, 32, "nobody twice", half=True)
    found = leak_nn.nearest

    def wrong(queries, gallery, **options):
        _, index = found(queries, gallery, **options)
        index = np.where(np.arange(len(index)) == 9, (index + 1) % len(gallery), index)
        return search.cosines(queries, gallery[index]), index

    monkeypatch.setattr(leak_nn, "nearest", wrong)
    with pytest.raises(AssertionError, match="1 of 64 rows are not the nearest"):
        case.check()


def test_image_writer_and_a_writer_that_loses_a_bit(monkeypatch):
    monkeypatch.delenv("MEMA_ASSETS", raising=False)
    case = image_writer.case(3, 64)
    assert "the same pixels" in run(case)
    monkeypatch.setattr(image_writer, "decode", lambda data: pictures.decode(data) ^ 1)
    with pytest.raises(AssertionError):
        case.check()


def test_train_reads_and_a_reader_that_turns_photos(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("MEMA_ASSETS", raising=False)
    case = train_reads.case(tmp_path, 12, 64, 4)
    assert run(case) == "each of 12 photos once, as it was stored"
    monkeypatch.setattr(train_reads, "decode", lambda data: pictures.decode(data)[::-1])
    with pytest.raises(AssertionError):
        case.check()


@pytest.mark.slow
def test_lora_step_and_a_peer_that_sees_other_noise(monkeypatch, tmp_path: Path):
    case = lora_step.case(tmp_path / "a", 0.125, 64, 2, "fp32")
    assert "losses of 3 steps within" in run(case)
    draw = lora_step.step_generator
    with monkeypatch.context() as patch:
        patch.setattr(lora_step, "step_generator", lambda seed, step: draw(seed + 1, step))
        with pytest.raises(AssertionError, match="losses are"):
            lora_step.case(tmp_path / "b", 0.125, 64, 2, "fp32").check()
    train_step = lora_step.train_step
    monkeypatch.setattr(
        lora_step, "train_step", lambda training, batch, rate, settings: train_step(training, batch, 2 * rate, settings)
    )
    monkeypatch.setitem(lora_step.TOLERANCE, "fp32", 1.0)
    with pytest.raises(AssertionError, match="LoRAs are"):
        lora_step.case(tmp_path / "c", 0.125, 64, 2, "fp32").check()


@pytest.mark.slow
def test_sample_batch_and_weights_that_are_mixed_up(monkeypatch):
    case = sample_batch.case(0.125, 64, 5, 5, 1, "fp32")
    assert "pixels within" in run(case)
    sample = sample_batch.sample_latents
    monkeypatch.setattr(sample_batch, "sample_latents", lambda g, rows, s: sample(g, rows[::-1], s))
    with pytest.raises(AssertionError):
        case.check()


@pytest.mark.slow
def test_sample_batch_finds_that_the_stock_repeat_mixes_donors(monkeypatch):
    case = sample_batch.case(0.125, 64, 5, 5, 1, "fp32")
    stock = sample_batch.stock

    def repeated(pipeline, *given):
        pipeline.__dict__.pop("prepare_ip_adapter_image_embeds", None)
        return stock(pipeline, *given)

    monkeypatch.setattr(sample_batch, "stock", repeated)
    with pytest.raises(AssertionError, match="the mask route is"):
        case.check()


@pytest.mark.slow
def test_deid_step_and_passwords_that_are_exchanged(monkeypatch, tmp_path: Path):
    case = deid_step.case(tmp_path, 4, 64, 8)
    assert "gradients within" in run(case)
    made = deid_step.make_fakes
    monkeypatch.setattr(
        deid_step, "make_fakes", lambda model, vae, batch, right, wrong: made(model, vae, batch, wrong, right)
    )
    with pytest.raises(AssertionError, match=r"are .* apart"):  # right and wrong passwords exchanged
        case.check()


@pytest.mark.e2e
def test_orchestration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    with orchestration.prefect_tasks(3) as tasks:
        found = run(orchestration.case(tmp_path, 100, 8, 64, tasks, 3))
    assert dict(os.environ) == before  # the tests that this process runs next start servers too
    assert found == "all 13 shards hold what the work gives"


@pytest.mark.real
@pytest.mark.slow
def test_embed(assets: Path, tmp_path: Path):
    with embed.deepface_home(tmp_path):
        assert "embeddings of 2 aligned faces" in run(embed.case(assets, tmp_path, 2))


def test_phantoms_are_different_pictures():
    a, b = pictures.phantoms(2, 64)
    assert a.shape == (64, 64, 3)
    assert (a != b).mean() > 0.5
