"""A keyed layer in closed form: the password draws somebody's face, and hides the patient's where none is seen."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

MOST_ROWS = 4096  # originals that the eigenfaces are computed from


class KeyedFaces(nn.Module):
    """K eigenfaces of f whose coefficients are exchanged: the patient's for those that the password draws.

    A password is standard normal, and so are coefficients in units of their deviations: its first K numbers
    are a face. The patient's own go, with the signs of the next K numbers, to K directions that the image
    decoder does not read; the same password brings them back exactly, another one gives them other signs,
    which is another face. Everything outside the eigenfaces stays as it is.
    """

    def __init__(self, num: int, width: int, grid: int) -> None:
        super().__init__()
        self.num = num
        self.register_buffer("seen", torch.zeros(num, width, grid, grid))
        self.register_buffer("hidden", torch.zeros(num, width, grid, grid))
        self.register_buffer("mean", torch.zeros(num))
        self.register_buffer("std", torch.ones(num))

    def set(
        self, seen: Float[Tensor, "k c g g"], hidden: Float[Tensor, "k c g g"], mean: Float[Tensor, " k"],
        std: Float[Tensor, " k"],
    ) -> None:  # fmt: skip
        """Take orthonormal directions, and the coefficients' moments over the training images."""
        for name, value in {"seen": seen, "hidden": hidden, "mean": mean, "std": std}.items():
            getattr(self, name).copy_(value)

    def encrypt(self, f: Float[Tensor, "b c g g"], passwords: Float[Tensor, "b d"]) -> Float[Tensor, "b c g g"]:
        """Return f with the coefficients of another face, its own hidden."""
        own = (_on(f, self.seen) - self.mean) / self.std
        drawn, signs = self._key(passwords)
        f = f + _along((drawn - own) * self.std, self.seen)
        return f + _along(own * signs - _on(f, self.hidden), self.hidden)

    def decrypt(self, f: Float[Tensor, "b c g g"], passwords: Float[Tensor, "b d"]) -> Float[Tensor, "b c g g"]:
        """Return f with the hidden coefficients in place again, and nothing hidden."""
        hidden = _on(f, self.hidden)
        own = hidden * self._key(passwords)[1]
        shown = (_on(f, self.seen) - self.mean) / self.std
        return f + _along((own - shown) * self.std, self.seen) - _along(hidden, self.hidden)

    def _key(self, passwords: Tensor) -> tuple[Tensor, Tensor]:
        drawn, signs = passwords[:, : self.num], passwords[:, self.num : 2 * self.num]
        return drawn, torch.where(signs < 0, -1.0, 1.0)


def _on(f: Tensor, directions: Tensor) -> Float[Tensor, "b k"]:
    return f.flatten(1) @ directions.flatten(1).T


def _along(coefficients: Tensor, directions: Tensor) -> Float[Tensor, "b c g g"]:
    return (coefficients @ directions.flatten(1)).view(len(coefficients), *directions.shape[1:])


def medical_relevance(f_med: Float[np.ndarray, "n m h w"], diseases: Int[np.ndarray, " n"]) -> Float[Tensor, "1 1 h w"]:
    """Return for each place, from 0 to 1, how far f_med tells the diseases apart there (Fisher's ratio).

    The variance between the classes' means over that within classes, summed over channels, in units of the
    most telling place; 1 everywhere where there is but one disease, and nothing to tell.
    """
    values = torch.from_numpy(f_med.astype(np.float32))
    classes = [values[torch.from_numpy(diseases == label)] for label in np.unique(diseases)]
    mean = values.mean(0)
    between = torch.stack([len(part) * (part.mean(0) - mean).square() for part in classes]).sum(0)
    within = torch.stack([(part - part.mean(0)).square().sum(0) for part in classes]).sum(0)
    ratio = (between.sum(0) / within.sum(0).clamp(min=1e-8))[None, None]
    return ratio / ratio.max() if ratio.max() > 0 else torch.ones_like(ratio)


def eigenfaces(
    latents: Float[np.ndarray, "n c h w"], spared: Float[Tensor, "1 1 h w"] | None, num: int
) -> tuple[Float[Tensor, "k c h w"], Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Return `num` orthonormal eigenfaces of the latents, with mean and deviation of their coefficients.

    `spared` from 0 to 1 weakens places before the decomposition: what tells a disease is not exchanged.
    """
    step = -(-len(latents) // MOST_ROWS)
    values = torch.from_numpy(latents[::step].astype(np.float32))
    if num > len(values) // 4:
        raise ValueError(
            f"train_deid.networks.num_eigenfaces: {num} of {len(values)} images; at most a quarter of them"
        )
    weighted = values - values.mean(0)
    if spared is not None:
        weighted = weighted * (1 - F.interpolate(spared, values.shape[-2:], mode="bilinear"))
    _, _, directions = torch.linalg.svd(weighted.flatten(1), full_matrices=False)
    directions = directions[:num]
    # turned within their span until the coefficients of whole faces are uncorrelated: a draw is then a face
    coefficients = values.flatten(1) @ directions.T
    _, turn = torch.linalg.eigh(torch.cov(coefficients.T))
    directions, coefficients = turn.T @ directions, coefficients @ turn
    return directions.view(num, *values.shape[1:]), coefficients.mean(0), coefficients.std(0)
