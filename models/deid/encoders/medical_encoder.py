"""Enc_med: what turns a face into a map of its medical signs, whichever network does it.

A file <name>_encoder.py in this folder with a subclass of `MedicalEncoder` is all that a further encoder needs: its
`kinds` become values of train_medical_encoder.kind.
"""

import json
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor, nn

import models.deid.encoders

STRIDE = 16  # pixels a place of the feature map
WEIGHTS = "model.safetensors"


class MedicalEncoder(nn.Module, ABC):
    """A frozen encoder in evaluation mode; gradients flow to the images alone.

    `kinds` are the names that config.json may give it.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    channels: int

    @abstractmethod
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h16 w16"]:
        """Return the map of RGB images in [-1, 1], one place for each 16 x 16 pixels."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write config.json, with the key `kind`, and model.safetensors; nothing else is needed to load."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; `config` is the parsed config.json."""

    @classmethod
    @abstractmethod
    def fine_tune(cls, kind: str, faces: "MedicalFaces", options: Any, scratch: Path) -> tuple["MedicalEncoder", dict]:
        """Return an encoder tuned to `faces` and its metrics, going on from what a killed run left in `scratch`.

        Pictures left in scratch/grids are published beside the encoder.
        """

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def frozen(self) -> Self:
        """Return the encoder itself, without gradients to its weights."""
        return self.requires_grad_(False).eval()


@dataclass(frozen=True)
class MedicalFaces:
    """Training images of one size, decoded as they are asked for, with what readers saw in them."""

    images: Sequence[UInt8[np.ndarray, "s s 3"]]
    diseases: Sequence[str]
    severities: Sequence[str]


def encoder_class(kind: str) -> type[MedicalEncoder]:
    """Return the class whose `kinds` name it, found in the files models/deid/encoders/*_encoder.py."""
    for module in pkgutil.iter_modules(models.deid.encoders.__path__):
        if module.name.endswith("_encoder"):
            import_module(f"{models.deid.encoders.__name__}.{module.name}")
    known = {name: found for found in _descendants(MedicalEncoder) for name in found.kinds}
    if kind not in known:
        raise ValueError(f"train_medical_encoder.kind: {kind!r}; allowed: {', '.join(sorted(known))}")
    return known[kind]


def _descendants(cls: type[MedicalEncoder]) -> list[type[MedicalEncoder]]:
    return [found for child in cls.__subclasses__() for found in (child, *_descendants(child))]


def load_medical_encoder(folder: Path) -> MedicalEncoder:
    """Load the encoder of data/medical_encoder, frozen, on the CPU."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"medical encoder: no {path}; run train_medical_encoder (dvc repro)")
    config = json.loads(path.read_text())
    return encoder_class(config["kind"]).load(folder, config).frozen()
