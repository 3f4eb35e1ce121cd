from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.deid import training
from models.deid.chance import draw_chance
from models.deid.discriminator import PatchDiscriminator
from models.deid.features import Batch, OriginalFeatures, cache_features
from models.deid.networks import MedSemDeID, decode
from models.deid.training import DeidSettings, Duel, Judges, MedicalScale, generator_losses, make_fakes, train_deid
from models.training.distributed import Group
from tests.toys.deid import ToyMedical, ToyPhi, toy_images, toy_model, toy_vae

SETTINGS = DeidSettings(
    steps=6, batch_size=2, learning_rate=1e-3, halve_at=(4,), betas=(0.5, 0.99), max_grad_norm=1.0,
    ema_decay=0.5, lambda_med=5.0, lambda_rev=0.1, lambda_gan=1.0, cosine_floor=-1.0, phi_jitter=0.1,
    discriminator_width=8, discriminator_rate=2.0, slope_weight=1.0,
    precision="fp32", checkpoint_every=2, grid_every=3, seed=5,
)  # fmt: skip


class KilledError(Exception):
    """Stands for a kill: raised where a process would have ended."""


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges(toy_vae().eval().requires_grad_(False), ToyMedical().frozen(), ToyPhi())


@pytest.fixture(scope="module")
def features(judges: Judges, tmp_path_factory: pytest.TempPathFactory) -> OriginalFeatures:
    folder = tmp_path_factory.mktemp("features")
    return cache_features(list(toy_images(5)), [0, 1, 0, 1, 0], judges.vae, judges.medical, judges.phi, folder)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_features_are_those_of_the_originals_and_their_mirror_images(
    judges: Judges, features: OriginalFeatures
) -> None:
    images = toy_images(5)
    assert len(features) == 10
    assert (features.images[:5] == images).all()
    assert (features.images[5:] == images[:, :, ::-1]).all()
    batch = features.batch(torch.tensor([7, 1]), torch.device("cpu"))
    assert torch.allclose(batch.f_med, judges.medical(batch.x), atol=2e-3)
    assert features.diseases.tolist() == [0, 1, 0, 1, 0] * 2
    assert torch.allclose(batch.phi, judges.phi(batch.x), atol=1e-5)
    mean, std = features.med_moments()
    assert np.allclose(mean.flatten(), features.f_med.astype(float).mean((0, 2, 3)), atol=1e-5)
    assert np.allclose(std.flatten(), features.f_med.astype(float).std((0, 2, 3)), atol=1e-4)


def test_three_kills_leave_the_weights_of_an_uninterrupted_run(
    judges: Judges, features: OriginalFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = toy_model(ToyMedical.channels)
    told = train_deid(whole, judges, features, SETTINGS, checkpoint=tmp_path / "whole.pt")
    real, calls = training.make_fakes, 0

    def dying(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls in (2, 5, 8):  # steps 2, 4 (after going on from 0 and 2), and 6
            raise KilledError
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "make_fakes", dying)
    killed = 0
    for _ in range(9):
        model = toy_model(ToyMedical.channels)
        try:
            again = train_deid(model, judges, features, SETTINGS, checkpoint=tmp_path / "killed.pt")
            break
        except KilledError:
            killed += 1
    assert killed == 3
    assert again == told
    for name, value in weights(whole).items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_the_batch_of_three_equals_three_separate_images(judges: Judges, features: OriginalFeatures) -> None:
    model = toy_model(ToyMedical.channels).eval()
    batch = features.batch(torch.tensor([0, 3]), torch.device("cpu"))
    right, wrong = torch.randn(2, 2, 512, generator=torch.Generator().manual_seed(0))
    enc, hat, other = make_fakes(model, judges.vae, batch, right, wrong).chunk(3)
    f_enc = model.encrypt(model.features(batch.latents, batch.f_med), right)
    for found, f in ((enc, f_enc), (hat, model.decrypt(f_enc, right)), (other, model.decrypt(f_enc, wrong))):
        assert torch.allclose(found, decode(judges.vae, model.latents(f)), atol=1e-4)


def found_losses(judges: Judges, batch: Batch, images: torch.Tensor, settings: DeidSettings) -> dict[str, float]:
    discriminator = PatchDiscriminator(8)
    scale = MedicalScale(torch.ones(1, ToyMedical.channels, 1, 1), torch.ones(1, 1, 6, 6))
    size, jitter = images.shape[-1], settings.phi_jitter
    chance = draw_chance(10, len(batch.x), size, 512, jitter, torch.Generator().manual_seed(0))
    found = generator_losses(images, batch, judges, discriminator, scale, settings, chance)
    return {name: float(value) for name, value in found.items()}


def test_losses_of_an_image_that_did_not_change(judges: Judges, features: OriginalFeatures) -> None:
    batch = features.batch(torch.tensor([0, 3]), torch.device("cpu"))
    found = found_losses(judges, batch, torch.cat([batch.x] * 3), SETTINGS.changed(phi_jitter=0.0))
    assert found["deid"] == pytest.approx(1, abs=1e-4)
    assert found["rev_id"] == pytest.approx(-1, abs=1e-4)
    assert found["wrong"] == pytest.approx(1, abs=1e-4)
    assert found["rev"] == 0
    assert found["med"] == pytest.approx(0, abs=1e-4)
    assert set(found) == {"deid", "rev_id", "wrong", "med", "rev", "gan"}


def test_each_loss_looks_at_its_own_image(judges: Judges, features: OriginalFeatures) -> None:
    settings = SETTINGS.changed(phi_jitter=0.0)
    batch = features.batch(torch.tensor([0, 3]), torch.device("cpu"))
    same = found_losses(judges, batch, torch.cat([batch.x] * 3), settings)
    moved = {0: {"deid", "med"}, 1: {"rev_id", "rev"}, 2: {"wrong"}}
    for place, names in moved.items():
        parts = [batch.x, batch.x, batch.x]
        parts[place] = batch.x.flip(0)
        found = found_losses(judges, batch, torch.cat(parts), settings)
        assert {name for name in found if abs(found[name] - same[name]) > 1e-3} - {"gan"} == names


def test_without_its_weight_l_med_costs_nothing(judges: Judges, features: OriginalFeatures) -> None:
    batch = features.batch(torch.tensor([0]), torch.device("cpu"))
    found = found_losses(judges, batch, torch.cat([batch.x] * 3), SETTINGS.changed(lambda_med=0.0))
    assert "med" not in found


def test_training_changes_the_ciphers_and_calls_the_reports(
    judges: Judges, features: OriginalFeatures, tmp_path: Path
) -> None:
    model, steps, drawn = toy_model(ToyMedical.channels), [], []
    before = weights(model)
    train_deid(
        model, judges, features, SETTINGS, checkpoint=tmp_path / "c.pt",
        report=lambda step, losses: steps.append((step, set(losses))),
        grid=lambda step, average: drawn.append((step, isinstance(average, MedSemDeID))),
    )  # fmt: skip
    assert steps == [(3, set(training.LOSSES)), (6, set(training.LOSSES))]
    assert drawn == [(3, True), (6, True)]
    changed = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert {"encryptor.password.weight", "decryptor.blocks.0.linear2.weight", "face.weight"} <= changed


def test_the_rate_is_halved_where_the_settings_say() -> None:
    settings = SETTINGS.changed(learning_rate=2e-4, halve_at=(150_000,))
    assert settings.rate(149_999) == 2e-4
    assert settings.rate(150_000) == 1e-4


def test_the_discriminator_sees_each_scale_and_learns_to_tell() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(8)
    assert [tuple(logits.shape) for logits in network(torch.zeros(2, 3, 64, 64))] == [(2, 1, 8, 8), (2, 1, 4, 4)]


def gradients(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def test_shares_of_a_batch_add_up_to_the_gradients_of_the_whole(judges: Judges, features: OriginalFeatures) -> None:
    """Penalty and all; at a rate of nearly nothing, so that Adam does not blow rounding up in between."""
    settings, found = SETTINGS.changed(batch_size=4, learning_rate=1e-12), []
    chance = draw_chance(10, 4, 96, 512, settings.phi_jitter, torch.Generator().manual_seed(1))
    other = draw_chance(10, 4, 96, 512, settings.phi_jitter, torch.Generator().manual_seed(2))
    for drawn, cuts in ((chance, (0, 4)), (chance, (0, 1, 4)), (other, (0, 4))):
        alone = Group(0, 1, torch.device("cpu"))
        duel = Duel(toy_model(ToyMedical.channels), judges, features, settings, alone)
        duel.set_rates(0)
        losses = duel.step([drawn.take(slice(*cut)) for cut in pairwise(cuts)], with_slope=True)
        found.append((losses, gradients(duel.discriminator), gradients(duel.model)))
    whole, parts, different = found
    assert parts[0] == pytest.approx(whole[0], abs=1e-5)
    for one, sum_of_parts, another in zip(whole[1:], parts[1:], different[1:], strict=True):
        assert (one - sum_of_parts).norm() < 1e-5 * one.norm()
        assert (one - another).norm() > 0.1 * one.norm()


@pytest.mark.slow
def test_parts_that_fit_the_memory_give_the_weights_of_the_whole_batch(
    judges: Judges, features: OriginalFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.changed(batch_size=4)
    whole, parts, other = (toy_model(ToyMedical.channels) for _ in range(3))
    before = weights(whole)
    train_deid(whole, judges, features, settings, checkpoint=tmp_path / "whole.pt")
    train_deid(other, judges, features, settings.changed(seed=6), checkpoint=tmp_path / "other.pt")
    monkeypatch.setenv("MEMA_MICRO_BATCH", "3")
    train_deid(parts, judges, features, settings, checkpoint=tmp_path / "parts.pt")
    assert distance(parts, whole, before) < 0.005
    assert distance(other, whole, before) > 0.2


def distance(network: nn.Module, aim: nn.Module, start: dict[str, torch.Tensor]) -> float:
    """How far a trained network is from another, as a share of the way that training moved the other."""
    here, there = (torch.cat([w.flatten().float() for w in weights(one).values()]) for one in (network, aim))
    return float((here - there).norm() / (there - torch.cat([w.flatten().float() for w in start.values()])).norm())
