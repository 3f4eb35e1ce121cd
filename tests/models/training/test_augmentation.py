"""Augmentation: repeatable, and the face stays where it is."""

import numpy as np
import torch

from models.training.augmentation import augment, to_signal


def faces() -> torch.Tensor:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (6, 6, 6, 3), dtype=np.uint8)
    return torch.from_numpy(np.repeat(np.repeat(blocks, 16, 1), 16, 2))


def test_equal_generators_give_equal_images_and_leave_the_source_alone():
    images = faces()
    before = images.clone()
    first = augment(images, 112, torch.Generator().manual_seed(1))
    assert torch.equal(first, augment(images, 112, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, augment(images, 112, torch.Generator().manual_seed(2)))
    assert torch.equal(images, before)


def test_augmented_images_still_look_like_their_source():
    images = faces()
    plain = to_signal(images, 112)
    changed = augment(images, 112, torch.Generator().manual_seed(3))
    assert changed.shape == plain.shape
    flat = torch.stack([plain.flatten(1), changed.flatten(1)])
    flat = flat - flat.mean(2, keepdim=True)
    cosine = torch.nn.functional.cosine_similarity(flat[0], flat[1])
    assert (cosine > 0.6).all()
    assert (cosine < 0.9999).all()


def test_signal_spans_minus_one_to_one():
    signal = to_signal(torch.tensor([[[[0, 255, 0]]]], dtype=torch.uint8), 1)
    assert signal.flatten().tolist() == [-1, 1, -1]
