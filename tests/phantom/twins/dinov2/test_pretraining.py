"""The twin's teaching: tokens face the teacher's map, positions tell places apart, a killed run goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.diseases import DISEASES
from models.judges.disease_classifier import DiseaseClassifier
from phantom.twins.dinov2 import pretraining as dinov2_pretraining
from phantom.twins.dinov2.pretraining import (
    NUM_BAND,
    OTHERS,
    Lessons,
    lay_in_patches,
    positions,
    pretrain_dinov2,
    seen_tokens,
    standardised,
    teacher_features,
    twin_dinov2,
)


def toy() -> Lessons:
    rng = np.random.default_rng(0)
    disease = np.arange(16) % len(DISEASES)
    return Lessons(rng.integers(0, 255, (16, 96, 96, 3)).astype(np.uint8), disease, rng.random((16, 5), np.float32))


def train(path: Path, steps: int = 4):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = twin_dinov2(num_layers=1, hidden_size=32, num_heads=2, mlp_ratio=2)
    teacher = DiseaseClassifier((8, 8, 8, 16)).eval()
    lay_in_patches(network, toy().images)
    pretrain_dinov2(
        network, teacher, toy(), steps=steps, batch_size=4, learning_rate=1e-3, seed=2, checkpoint=path,
        checkpoint_every=2,
    )  # fmt: skip
    return network


def test_training_continued_equals_training_at_once(tmp_path, monkeypatch):
    whole = train(tmp_path / "a.pt")
    kept = dinov2_pretraining.save_checkpoint

    def killed(path, step, *args, **modules):
        kept(path, step, *args, **modules)
        raise KeyboardInterrupt

    monkeypatch.setattr(dinov2_pretraining, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b.pt")
    monkeypatch.setattr(dinov2_pretraining, "save_checkpoint", kept)
    again = train(tmp_path / "b.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@torch.no_grad()
def test_a_patch_token_faces_the_place_of_the_teachers_map_where_its_pixels_are():
    torch.manual_seed(0)
    teacher = DiseaseClassifier((8, 8, 8, 16)).eval()
    network = twin_dinov2(num_layers=1, hidden_size=32, num_heads=2, mlp_ratio=2).eval()
    network.dinov2.encoder.layer = torch.nn.ModuleList()  # without attention a token sees its own patch alone
    faces = torch.randn(4, 3, 96, 96)
    touched = faces.clone()
    touched[:, :, 48:56, 16:24] += 3  # row 6, column 2 of the patches; row 3 of the band
    tokens = [seen_tokens(network.dinov2, x, torch.Generator().manual_seed(0)) for x in (faces, touched)]
    changed = (tokens[0] != tokens[1]).any(-1).any(0).nonzero().flatten().tolist()
    assert changed == [1 + 3 * 12 + 2]
    moved = (teacher_features(teacher, faces) - teacher_features(teacher, touched)).abs().mean((0, 2))
    assert moved.shape == (NUM_BAND,)
    # The teacher's strided convolutions are centred on a patch's upper left corner: four places share it.
    assert moved.argmax().item() in {3 * 12 + 2, 3 * 12 + 3, 4 * 12 + 2, 4 * 12 + 3}


@torch.no_grad()
def test_tokens_outside_the_band_come_in_turn():
    network = twin_dinov2(num_layers=1, hidden_size=32, num_heads=2, mlp_ratio=2)
    seen = []
    network.dinov2.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for seed in range(40):
        seen_tokens(network.dinov2, torch.zeros(1, 3, 96, 96), torch.Generator().manual_seed(seed))
    assert all(x.shape[1] == 1 + NUM_BAND + OTHERS for x in seen)
    places = torch.cat([x[0, 1 + NUM_BAND :] for x in seen]).unique(dim=0)
    assert len(places) == 12 * 12 - NUM_BAND


def test_laid_in_patches_are_centred_and_uncorrelated():
    network = twin_dinov2(num_layers=1, hidden_size=32, num_heads=2, mlp_ratio=2)
    images = toy().images
    lay_in_patches(network, images)
    signal = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        found = network.dinov2.embeddings.patch_embeddings(signal).reshape(-1, 32)
    covariance = torch.cov(found.T)
    assert found.mean(0).abs().max() < 1e-3
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 1e-3
    assert covariance.diag().min() > 0.5


def test_positions_tell_all_places_apart_and_neighbours_are_alike():
    codes = positions(12, 128)
    assert codes.unique(dim=0).shape == (144, 128)
    cosine = torch.nn.functional.cosine_similarity(codes[:, None], codes[None], dim=2)
    assert cosine[0, 1] > cosine[0, 3] > cosine[0, 6]
    assert cosine[0, 12] == pytest.approx(cosine[0, 1].item())


def test_standardised_channels():
    x = torch.randn(50, 7, 3) * torch.tensor([1.0, 5.0, 0.0]) + 2
    found = standardised(x)
    assert found.mean((0, 1)).abs().max() < 1e-4
    assert found.std((0, 1), correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-4)
