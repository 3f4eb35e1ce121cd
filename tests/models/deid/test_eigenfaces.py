import numpy as np
import pytest
import torch

from models.deid.eigenfaces import KeyedFaces, eigenfaces, medical_relevance
from models.deid.networks import DeidConfig, MedSemDeID

NUM = 4
CONFIG = DeidConfig(96, 4, 0, width=96, num_layers=1, num_heads=2, mlp_width=32, head_width=16, num_eigenfaces=NUM)


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    """Forty latents with six strong directions."""
    rng = np.random.default_rng(0)
    strong = rng.standard_normal((40, 6)) * [9, 7, 5, 4, 3, 2]
    values = strong @ rng.standard_normal((6, 4 * 12 * 12)) + 3 + 0.1 * rng.standard_normal((40, 576))
    return values.reshape(40, 4, 12, 12).astype(np.float16)


@pytest.fixture
def model(latents: np.ndarray) -> MedSemDeID:
    torch.manual_seed(0)
    model = MedSemDeID(CONFIG)
    model.key_with(*eigenfaces(latents, None, NUM))
    return model


def passwords(num: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(num, 512, generator=torch.Generator().manual_seed(seed))


def test_eigenfaces_are_orthonormal_uncorrelated_and_hold_the_variance(latents: np.ndarray) -> None:
    directions, mean, std = eigenfaces(latents, None, NUM)
    flat = directions.flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(NUM), atol=1e-4)
    values = torch.from_numpy(latents.astype(np.float32)).flatten(1)
    coefficients = values @ flat.T
    assert torch.allclose(coefficients.mean(0), mean, rtol=1e-3)
    cov = np.cov(coefficients.numpy().T)
    assert np.allclose(cov, np.diag(np.diag(cov)), atol=1e-3 * cov.max())
    assert np.allclose(np.sqrt(np.diag(cov)), std, rtol=1e-3)
    spectrum = np.linalg.svd(values.numpy() - values.numpy().mean(0), compute_uv=False) ** 2
    assert (coefficients - mean).square().sum().item() == pytest.approx(spectrum[:NUM].sum(), rel=1e-3)


def test_spared_places_are_not_exchanged(latents: np.ndarray) -> None:
    spared = torch.zeros(1, 1, 12, 12)
    spared[..., 4:7, :] = 1
    directions, _, _ = eigenfaces(latents, spared, NUM)
    assert directions[:, :, 4:7].abs().max() < 1e-4
    assert directions[:, :, 8].abs().max() > 1e-2


def test_too_many_eigenfaces_are_refused(latents: np.ndarray) -> None:
    with pytest.raises(ValueError, match="num_eigenfaces: 11 of 40 images; at most a quarter"):
        eigenfaces(latents, None, 11)


def test_relevance_is_fisher_s_ratio_by_hand() -> None:
    """One channel, two classes, two places; the second place tells nothing."""
    f_med = np.array([[[[1.0, 5.0]]], [[[3.0, 7.0]]], [[[9.0, 5.0]]], [[[11.0, 7.0]]]])
    relevance = medical_relevance(f_med, np.array([0, 0, 1, 1]))
    # first place: between 4 * 16, within 4 * 1; second: nothing between
    assert torch.allclose(relevance, torch.tensor([[[[1.0, 0.0]]]]))
    third = np.concatenate([f_med, f_med / 4 + 3], 3)[..., [0, 2]] * [1, 1]
    assert torch.allclose(medical_relevance(third, np.array([0, 0, 1, 1])), torch.ones(1, 1, 1, 2))


def test_one_disease_makes_every_place_count_alike() -> None:
    f_med = np.random.default_rng(0).standard_normal((3, 2, 2, 2))
    assert torch.equal(medical_relevance(f_med, np.zeros(3, int)), torch.ones(1, 1, 2, 2))


def test_the_right_password_reverses_exactly_and_a_wrong_one_gives_another_face(
    model: MedSemDeID, latents: np.ndarray
) -> None:
    z = torch.from_numpy(latents[:8].astype(np.float32))
    f = model.features(z, None)
    f_enc = model.encrypt(f, passwords(8))
    assert torch.allclose(model.decrypt(f_enc, passwords(8)), f, atol=1e-3)
    wrong = model.latents(model.decrypt(f_enc, passwords(8, seed=1)))
    assert (wrong - z).square().mean() > 0.2 * z.var()


def test_the_face_shown_is_the_password_s_alone(model: MedSemDeID, latents: np.ndarray) -> None:
    """Along the eigenfaces nothing of the patient is left: two patients show the same coefficients."""
    z = torch.from_numpy(latents[:2].astype(np.float32))
    password = passwords(1).repeat(2, 1)
    shown = model.latents(model.encrypt(model.features(z, None), password))
    directions, mean, std = eigenfaces(latents, None, NUM)
    found = (shown.flatten(1) @ directions.flatten(1).T - mean) / std
    assert torch.allclose(found, password[:, :NUM], atol=1e-3)


def test_what_is_hidden_is_not_seen_by_the_image_decoder(model: MedSemDeID) -> None:
    assert model.unface(model.key.hidden).abs().max() < 1e-5
    flat = torch.cat([model.key.seen, model.key.hidden]).flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(2 * NUM), atol=1e-4)


def test_hidden_coefficients_look_the_same_whoever_is_hidden_under_unknown_signs() -> None:
    """Signs of a random password leave only magnitudes; a wrong guess of the signs is right half of the time."""
    keyed = KeyedFaces(NUM, 8, 3)
    seen = torch.eye(2 * NUM, 72).view(2 * NUM, 8, 3, 3)
    keyed.set(seen[:NUM], seen[NUM:], torch.zeros(NUM), torch.ones(NUM))
    f = torch.randn(400, 8, 3, 3, generator=torch.Generator().manual_seed(2))
    back = keyed.decrypt(keyed.encrypt(f, passwords(400)), passwords(400, seed=1))
    own, found = f.flatten(1)[:, :NUM], back.flatten(1)[:, :NUM]
    assert abs(float((own * found).mean() / own.square().mean())) < 0.1


def test_as_many_eigenfaces_as_there_is_room_for() -> None:
    with pytest.raises(ValueError, match="num_eigenfaces: 300; at most 256"):
        DeidConfig(96, 4, 0, width=96, num_heads=2, num_eigenfaces=300)
