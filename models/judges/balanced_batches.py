"""Rows of a training set drawn so that each class comes equally often, whatever its size."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


class BalancedBatches:
    """Draws batches of rows of a table of labels; a batch depends on its generator alone."""

    def __init__(self, labels: Int[np.ndarray, " n"]):
        self.classes = np.unique(labels)
        self._rows = [torch.from_numpy(np.flatnonzero(labels == label)) for label in self.classes]
        if not self._rows:
            raise ValueError("labels: none given; a training set needs at least one image")

    def draw(self, batch_size: int, generator: torch.Generator) -> Int[Tensor, " b"]:
        """Return `batch_size` rows: a class at random, then one of its rows at random."""
        chosen = torch.randint(len(self._rows), (batch_size,), generator=generator).tolist()
        place = torch.rand(batch_size, generator=generator, dtype=torch.float64).tolist()
        rows = (self._rows[k][int(share * len(self._rows[k]))] for k, share in zip(chosen, place, strict=True))
        return torch.stack(list(rows))
