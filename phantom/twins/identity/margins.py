"""Margin softmax losses of face recognition: logits from the cosines of embeddings and class centres."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Logits = Callable[[Float[Tensor, "b c"], Int[Tensor, " b"], float, float], Float[Tensor, "b c"]]


def arcface_logits(
    cosine: Float[Tensor, "b c"], labels: Int[Tensor, " b"], margin: float, scale: float
) -> Float[Tensor, "b c"]:
    """s cos(θ + m) for the true class, s cos θ for the others (Deng et al. 2019, ArcFace, Eq. 3).

    Beyond θ = π - m, where cos(θ + m) would rise again, the true class gets cos θ - m sin m.
    """
    true = _true_cosine(cosine, labels)
    sine = (1 - true.square()).clamp(min=0).sqrt()
    shifted = true * math.cos(margin) - sine * math.sin(margin)
    beyond = true - margin * math.sin(margin)
    return scale * _replace(cosine, labels, torch.where(true > math.cos(math.pi - margin), shifted, beyond))


def cosface_logits(
    cosine: Float[Tensor, "b c"], labels: Int[Tensor, " b"], margin: float, scale: float
) -> Float[Tensor, "b c"]:
    """s (cos θ - m) for the true class, s cos θ for the others (Wang et al. 2018, CosFace, Eq. 4)."""
    return scale * _replace(cosine, labels, _true_cosine(cosine, labels) - margin)


def sphereface_logits(
    cosine: Float[Tensor, "b c"], labels: Int[Tensor, " b"], margin: float, scale: float
) -> Float[Tensor, "b c"]:
    """s ψ(θ) for the true class, ψ(θ) = (-1)^k cos(mθ) - 2k on [kπ/m, (k+1)π/m], s cos θ for the others.

    Liu et al. 2017, SphereFace, Eq. 7, on normalised embeddings as in Liu et al. 2022, SphereFace Revived.
    `margin` multiplies the angle: 1 is no margin.
    """
    angle = margin * torch.acos(_true_cosine(cosine, labels))
    turns = torch.floor(angle.detach() / math.pi)
    sign = 1 - 2 * (turns % 2)
    return scale * _replace(cosine, labels, sign * torch.cos(angle) - 2 * turns)


MARGINS: dict[str, Logits] = {"arcface": arcface_logits, "cosface": cosface_logits, "sphereface": sphereface_logits}


def class_cosines(embedding: Float[Tensor, "b d"], centres: Float[Tensor, "c d"]) -> Float[Tensor, "b c"]:
    """Return cos θ between each embedding and each class centre."""
    return F.linear(F.normalize(embedding), F.normalize(centres))


def _true_cosine(cosine: Tensor, labels: Tensor) -> Tensor:
    # The arc cosine has an infinite slope at ±1.
    return cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)


def _replace(cosine: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    return cosine.scatter(1, labels[:, None], values)
