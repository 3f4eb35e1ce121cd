"""Eyes of a real photograph, as the signs want to know them, from the 68 points of iBUG."""

import functools
import importlib
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import packaged_predictor
from models.photos.eyes import Eye, EyeLandmarks

# Corner to corner from the viewer's left, with the ends shared.
LEFT = {"upper": [36, 37, 38, 39], "lower": [36, 41, 40, 39], "brow": slice(17, 22), "nasal": 1}
RIGHT = {"upper": [42, 43, 44, 45], "lower": [42, 47, 46, 45], "brow": slice(22, 27), "nasal": -1}
IRIS_SHARE = 0.2  # radius over eye width: 11.7 mm of iris in 30 mm of lid opening
DENSE = 13


def find_eyes(rgb: UInt8[np.ndarray, "h w 3"]) -> EyeLandmarks | None:
    """Return both eyes of the largest face that dlib finds, or None."""
    detect, predict = _networks()
    boxes = detect(np.ascontiguousarray(rgb), 1)
    if not boxes:
        return None
    shape = predict(np.ascontiguousarray(rgb), max(boxes, key=lambda box: box.area()))
    return eyes_of_points(np.array([(point.x, point.y) for point in shape.parts()], np.float32))


@functools.cache
def _networks() -> tuple[Any, Any]:
    """Return dlib's detector and its predictor of 68 points, which takes half a second to read."""
    dlib: Any = importlib.import_module("dlib")  # its stubs lack what it is used for
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(packaged_predictor()))


def eyes_of_points(points: Float[np.ndarray, "68 2"]) -> EyeLandmarks:
    """Return both eyes with dense lid margins; the iris is taken to look straight ahead."""
    return EyeLandmarks(_eye(points, **LEFT), _eye(points, **RIGHT))


def _eye(points: np.ndarray, upper: list[int], lower: list[int], brow: slice, nasal: int) -> Eye:
    margin, under = _smooth(points[upper]), _smooth(points[lower])
    width = float(np.linalg.norm(margin[-1] - margin[0]))
    iris = (margin[DENSE // 2] + under[DENSE // 2]) / 2
    return Eye(margin, under, iris.astype(np.float32), IRIS_SHARE * width, points[brow], nasal)


def _smooth(four: Float[np.ndarray, "4 2"]) -> Float[np.ndarray, "n 2"]:
    """Return the cubic through four points, densely, by its length along the chords."""
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(four, axis=0), axis=1))])
    at = np.linspace(0, steps[-1], DENSE)
    return np.stack([np.polyval(np.polyfit(steps, four[:, axis], 3), at) for axis in (0, 1)], 1).astype(np.float32)
