"""The six losses of MedSem-DeID (paper, "Learning Objectives"), one pure function each.

phi is the loss recogniser; `phi_*` are its L2-normalised embeddings [b, d], so a product is a cosine.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Embedding = Float[Tensor, "b d"]


def l_deid(phi_x: Embedding, phi_enc: Embedding, floor: float = -1.0) -> Float[Tensor, ""]:
    """cos(phi(X), phi(X_enc)), the mean over the batch, not rewarded below `floor` (-1 is the paper's loss)."""
    return _cosine(phi_x, phi_enc).clamp(min=floor).mean()


def l_rev_id(phi_x: Embedding, phi_hat: Embedding) -> Float[Tensor, ""]:
    """-cos(phi(X), phi(X_hat)): the recovered image shows the person again."""
    return -_cosine(phi_x, phi_hat).mean()


def l_wrong(phi_x: Embedding, phi_wrong: Embedding, floor: float = -1.0) -> Float[Tensor, ""]:
    """cos(phi(X), phi(X_wrong)): a wrong password shows somebody else; `floor` as in `l_deid`."""
    return _cosine(phi_x, phi_wrong).clamp(min=floor).mean()


def l_med(
    f_med: Float[Tensor, "b c h w"],
    f_med_enc: Float[Tensor, "b c h w"],
    std: Float[Tensor, "1 c 1 1"],
    relevance: Float[Tensor, "1 1 h w"],
) -> Float[Tensor, ""]:
    """Mean squared error of f_med and Enc_med(X_enc), each place weighed by what it tells of a disease.

    Channels are in units of their deviation over MeMa: unscaled, lambda_med would mean something else for each
    encoder of Table 10. Unweighed, the loss asks for the patient's hair and mouth too, and brings X back.
    """
    error = ((f_med_enc - f_med) / std).square()
    return (error * relevance).mean() / relevance.mean()


def l_rev(x: Float[Tensor, "b 3 h w"], x_hat: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
    """Mean absolute error of X and X_hat, in units of the signal's [-1, 1]."""
    return F.l1_loss(x_hat, x)


def l_gan(fake: Sequence[Float[Tensor, "b 1 h w"]]) -> Float[Tensor, ""]:
    """The generator's hinge loss (Lim & Ye 2017): what the discriminator's scales say of X_enc, X_hat, X_wrong."""
    return -torch.stack([logits.mean() for logits in fake]).mean()


def discriminator_loss(
    real: Sequence[Float[Tensor, "b 1 h w"]], fake: Sequence[Float[Tensor, "b 1 h w"]]
) -> Float[Tensor, ""]:
    """The discriminator's hinge loss, the mean over its scales."""
    parts = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(parts).mean()


def _cosine(a: Embedding, b: Embedding) -> Float[Tensor, " b"]:
    return F.cosine_similarity(a, b, dim=1)
