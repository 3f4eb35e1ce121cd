"""A DINOv2 of two narrow layers, as a folder that the judge's fine-tuning starts from."""

from pathlib import Path

import torch

from models.judges.dinov2_weights import Normalisation, write_preprocessor
from phantom.twins.dinov2.pretraining import twin_dinov2


def save_dinov2(folder: Path) -> Path:
    """Write an untrained backbone for 96-px faces, without a head, and return its folder."""
    torch.manual_seed(0)
    twin_dinov2(num_layers=2, hidden_size=32, num_heads=2, mlp_ratio=2).dinov2.save_pretrained(folder)
    write_preprocessor(folder, 96, Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
    return folder
