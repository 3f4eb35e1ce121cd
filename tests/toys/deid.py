"""An untrained MedSem-DeID of the real classes at toy size, saved as in production."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional as F

from models.deid.card import TrainedOn, digest_of
from models.deid.deidentifier import save_deidentifier
from models.deid.encoders.medical_encoder import MedicalEncoder, MedicalFaces
from models.deid.networks import DeidConfig, MedSemDeID

SIZE_PX = 96
PHOTOGRAPHS = TrainedOn("photograph", digest_of([]), digest_of(["nobody"]))


def toy_vae() -> AutoencoderKL:
    """Return a seeded autoencoder of stride 8."""
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE_PX,
        scaling_factor=0.7,
    )


def toy_model(med_channels: int = 0) -> MedSemDeID:
    """Return seeded networks whose ciphers already change what they are given."""
    torch.manual_seed(1)
    config = DeidConfig(
        SIZE_PX, 4, med_channels, width=96, num_layers=1, num_heads=2, mlp_width=64, head_width=16, num_eigenfaces=2
    )
    model = MedSemDeID(config)
    for cipher in (model.encryptor, model.decryptor):
        for block in cipher.blocks:
            torch.nn.init.normal_(block.linear2.weight, std=0.5)  # type: ignore[union-attr,arg-type]
            torch.nn.init.normal_(block.self_attn.out_proj.weight, std=0.5)  # type: ignore[union-attr,arg-type]
    return model


def toy_deidentifier(folder: Path, trained_on: TrainedOn = PHOTOGRAPHS) -> Path:
    """Write a small untrained de-identifier without f_med, for faces of 96 px; return its folder."""
    save_deidentifier(toy_model(), toy_vae(), None, folder, trained_on)
    return folder


def toy_images(num: int) -> np.ndarray:
    """Return distinct smooth coloured pictures, uint8 [num, 96, 96, 3]."""
    coarse = torch.rand(num, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(coarse, size=(SIZE_PX, SIZE_PX), mode="bilinear")
    return (smooth * 255).byte().permute(0, 2, 3, 1).numpy()


class ToyMedical(MedicalEncoder):
    """A random medical encoder of stride 16."""

    channels = 6

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.net = nn.Conv2d(3, self.channels, 16, stride=16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features [b, 6, h/16, w/16]."""
        return self.net(images)

    def save(self, folder: Path) -> None:
        """Is never written."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Is never read."""
        raise NotImplementedError

    @classmethod
    def fine_tune(cls, kind: str, faces: MedicalFaces, options: Any, scratch: Path) -> tuple[Self, dict]:
        """Is never tuned."""
        raise NotImplementedError


class ToyPhi(nn.Module):
    """A random embedding of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 16, stride=16), nn.Flatten(), nn.Linear(8 * 36, 16))
        self.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit vectors [b, 16]."""
        return F.normalize(self.net(images), dim=1)
