"""What is computed over all originals before MedSem-DeID is trained: the units of L_med, the keyed layer."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.deid.eigenfaces import eigenfaces, medical_relevance
from models.deid.features import OriginalFeatures
from models.deid.networks import MedSemDeID


@dataclass(frozen=True)
class MedicalScale:
    """What L_med measures by: deviations [1, m, 1, 1] and relevance [1, 1, h16, w16] of f_med over MeMa."""

    std: Float[Tensor, "1 m 1 1"]
    relevance: Float[Tensor, "1 1 h16 w16"]

    def to(self, device: torch.device) -> "MedicalScale":
        """Return the same on a device."""
        return MedicalScale(self.std.to(device), self.relevance.to(device))


def prepare(model: MedSemDeID, features: OriginalFeatures) -> MedicalScale:
    """Set what is computed rather than trained, and return what L_med measures by.

    Where the model uses f_med, the keyed layer spares the places in which f_med tells the diseases apart.
    """
    mean, std = features.med_moments()
    relevance = medical_relevance(features.f_med, features.diseases)
    model.scale_f_med(mean, std)
    if model.config.num_eigenfaces:
        tells = model.config.med_channels and len(set(features.diseases.tolist())) > 1
        spared = relevance if tells else None
        model.key_with(*eigenfaces(features.latents, spared, model.config.num_eigenfaces))
    return MedicalScale(std, relevance)
