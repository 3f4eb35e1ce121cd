"""How far facial landmarks move: dlib's 68 points on the original and on the de-identified face (Table 7)."""

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import packaged_predictor

# The detector's box in this project's frame: left, top, right, bottom, medians over 46 of 50 photographs of
# lfw_10x10 on which it found the face. With this box the points of those photographs differ by 1 px of 256 from
# those with the box found. A fixed box needs no detector, so no method gains by having its failures left out.
BOX = (0.070, 0.168, 0.941, 1.039)
WORK_PX = 256  # smaller faces are enlarged: the predictor compares single pixels
PARTS = {"all": slice(0, 68), "eye": slice(36, 48), "mouth": slice(48, 68), "nose": slice(27, 36)}
Points = Float[np.ndarray, "n 68 2"]


class Landmarks:
    """dlib's predictor of iBUG's 68 points on faces in the common frame."""

    def __init__(self, path: Path) -> None:
        """Load a predictor of 68 points; raises ValueError where it is missing or another one."""
        if not path.is_file():
            raise ValueError(f"evaluate_utility.predictor: no file {path}; PyPI's face_recognition_models has it")
        dlib: Any = importlib.import_module("dlib")  # its stubs lack what it is used for
        self._predict, self._rectangle = dlib.shape_predictor(str(path)), dlib.rectangle
        found = len(self._points(np.zeros((WORK_PX, WORK_PX, 3), np.uint8)))
        if found != 68:
            raise ValueError(f"evaluate_utility.predictor: {path} has {found} points; 68 are needed")

    def __call__(self, images: UInt8[np.ndarray, "n s s 3"]) -> Points:
        """Return the points in px of the images given."""
        points = []
        for image in images:
            size = image.shape[0]
            if size < WORK_PX:
                image = cv2.resize(image, (WORK_PX, WORK_PX), interpolation=cv2.INTER_CUBIC)
            scale = size / image.shape[0]
            points.append((self._points(np.ascontiguousarray(image)) + 0.5) * scale - 0.5)
        return np.array(points).reshape(-1, 68, 2)

    def _points(self, image: np.ndarray) -> Float[np.ndarray, "k 2"]:
        box = self._rectangle(*(round(edge * image.shape[0]) for edge in BOX))
        return np.array([(point.x, point.y) for point in self._predict(image, box).parts()], np.float64)


def load_landmarks(path: str) -> Landmarks:
    """Load the predictor of `path`, or for "" that of PyPI's face_recognition_models."""
    return Landmarks(Path(path) if path else packaged_predictor())


def landmark_error(original: Points, other: Points, part: str) -> Float[np.ndarray, " n"]:
    """Return each image's mean distance in px between the points of `part`, a key of PARTS."""
    moved = original[:, PARTS[part]].astype(np.float64) - other[:, PARTS[part]]
    return np.linalg.norm(moved, axis=2).mean(1)
