"""dlib's ResNet recogniser (King, 2017) on faces in this project's frame."""

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import LEFT_EYE, RIGHT_EYE

CHIP_PX = 150
# Where dlib's own alignment puts the eye centres: means over 100 photographs, as shares of the chip.
CHIP_EYES = np.array([[0.324, 0.308], [0.664, 0.309]])


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
        chips = [face_chip(image) for image in images]
        found = np.array([self._network.compute_face_descriptor(chip) for chip in chips], np.float32)
        return found.reshape(-1, 128) / np.linalg.norm(found.reshape(-1, 128), axis=1, keepdims=True)


def face_chip(image: UInt8[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "150 150 3"]:
    """Move an aligned face to where dlib's network expects it; what lies beyond the frame is mirrored."""
    eyes = np.array([LEFT_EYE, RIGHT_EYE]) * image.shape[0] - 0.5
    target = CHIP_EYES * CHIP_PX - 0.5
    turn = complex(*(target[1] - target[0])) / complex(*(eyes[1] - eyes[0]))
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    matrix = np.column_stack([rotation, target.mean(axis=0) - rotation @ eyes.mean(axis=0)])
    return cv2.warpAffine(
        image, matrix, (CHIP_PX, CHIP_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
