"""How far the gaze turns: OpenVINO's gaze network on the original and on the de-identified face (Table 7).

The networks (Open Model Zoo, gaze-estimation-adas-0002 and head-pose-estimation-adas-0001) know photographs. On
drawn faces their answers mean nothing, so the phantom profile names none and the table says why.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.judges.landmarks import BOX
from models.photos.alignment import LEFT_EYE, RIGHT_EYE

INPUT_PX = 60
EYE_SIDE = 0.33  # side of an eye's square as a share of the face: 1.8 times the mean width of an eye, 0.18
Angles = Float[np.ndarray, "n 2"]


class Gaze:
    """Gaze of faces in the common frame; fixed squares around the eyes, so that no detector may fail.

    Mirrored photographs of lfw_10x10 give mirrored angles to 10 degrees of yaw and 4 of pitch on average: a
    smaller error between methods is within this network's own.
    """

    def __init__(self, gaze: Path, head_pose: Path) -> None:
        """Load both networks (.xml with .bin beside it); raises ValueError naming what is missing."""
        for field, path in (("gaze", gaze), ("head_pose", head_pose)):
            if not path.is_file():
                raise ValueError(f"evaluate_utility.{field}: no file {path}; fetch it, or leave both empty")
        if importlib.util.find_spec("openvino") is None:
            raise ValueError("evaluate_utility.gaze: needs `pip install -c constraints.txt openvino`")
        core: Any = importlib.import_module("openvino").Core()
        self._gaze, self._head_pose = (core.compile_model(core.read_model(p), "CPU") for p in (gaze, head_pose))

    def __call__(self, images: UInt8[np.ndarray, "n s s 3"]) -> Angles:
        """Return pitch (up is positive) and yaw (to the viewer's right is positive) in degrees."""
        return np.array([self._angles(image) for image in images], np.float64).reshape(-1, 2)

    def _angles(self, image: np.ndarray) -> tuple[float, float]:
        left, top, right, bottom = BOX
        face = _crop(image, ((left + right) / 2, (top + bottom) / 2), right - left)
        pose = self._head_pose({"data": face})
        angles = [float(pose[f"angle_{axis}_fc"][0, 0]) for axis in "ypr"]
        eyes = {
            # Left is the viewer's left: on photographs and their mirror images the answers agree better this
            # way (x off by 0.17 rather than 0.21), and follow the head's turn more closely.
            "left_eye_image": _crop(image, LEFT_EYE, EYE_SIDE),
            "right_eye_image": _crop(image, RIGHT_EYE, EYE_SIDE),
        }
        found = self._gaze(eyes | {"head_pose_angles": np.array([angles], np.float32)})
        return angles_of_vector(next(iter(found.values()))[0])


def angles_of_vector(vector: Float[np.ndarray, " 3"]) -> tuple[float, float]:
    """Return pitch and yaw in degrees of a gaze vector: x to the viewer's right, y up, z away from the viewer."""
    x, y, z = (vector / np.linalg.norm(vector)).tolist()
    return float(np.degrees(np.arcsin(y))), float(np.degrees(np.arctan2(x, -z)))


def gaze_error(original: Angles, other: Angles) -> Angles:
    """Return each image's absolute difference in pitch and in yaw, degrees; yaw the shorter way round."""
    difference = np.abs(original - other)
    return np.stack([difference[:, 0], np.minimum(difference[:, 1], 360 - difference[:, 1])], 1)


def _crop(image: np.ndarray, centre: tuple[float, float], side: float) -> Float[np.ndarray, "1 3 60 60"]:
    """Return a square as the networks take it, BGR of 0 to 255; beyond the frame the border is repeated."""
    size, patch = image.shape[0], max(1, round(side * image.shape[0]))
    middle = (centre[0] * size - 0.5, centre[1] * size - 0.5)
    square = cv2.getRectSubPix(image, (patch, patch), middle)
    shrinking = cv2.INTER_AREA if patch > INPUT_PX else cv2.INTER_CUBIC
    crop = cv2.resize(square, (INPUT_PX, INPUT_PX), interpolation=shrinking)
    return np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)[None], np.float32)
