"""Balanced batches: every class equally often, only its own rows, the same from the same generator."""

import numpy as np
import pytest
import torch

from models.judges.balanced_batches import BalancedBatches


def test_each_class_equally_often_whatever_its_size():
    labels = np.repeat([0, 3, 5], (1000, 20, 3))
    rows = BalancedBatches(labels).draw(6000, torch.Generator().manual_seed(0)).numpy()
    counts = np.bincount(labels[rows], minlength=6)
    assert counts[[1, 2, 4]].sum() == 0
    assert np.abs(counts[[0, 3, 5]] / 6000 - 1 / 3).max() < 0.03
    assert set(rows[labels[rows] == 5]) == {1020, 1021, 1022}


def test_a_batch_depends_on_its_generator_alone():
    batches = BalancedBatches(np.arange(50) % 7)
    first, second, other = (batches.draw(20, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_no_image_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        BalancedBatches(np.array([], np.int64))
