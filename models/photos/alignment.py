"""Faces brought to one frame: upright and tight, the eye centres where the generator draws them."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.rejection import Rejection

LEFT_EYE, RIGHT_EYE = (0.30, 0.45), (0.70, 0.45)  # viewer's left and right, as shares of the crop
DETECT_SIDE_PX = 1024  # the detector's cost grows with the area, and a portrait's face is large


@dataclass(frozen=True)
class Aligned:
    """A face in the common frame, with flags of what a reader should know about it."""

    image: UInt8[np.ndarray, "s s 3"]
    flags: list[str] = field(default_factory=list)


Aligner = Callable[[np.ndarray], Aligned]
# image -> one (area, eye centres [2, 2] px) per face
Detector = Callable[[np.ndarray], list[tuple[float, np.ndarray]]]


def centre_square(rgb: UInt8[np.ndarray, "h w 3"], size: int) -> Aligned:
    """Cut the central square and resize it; for photos that are framed already."""
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = rgb[top : top + side, left : left + side]
    if side == size:
        return Aligned(np.ascontiguousarray(square))
    image = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
    return Aligned(image, ["upscaled"] if side < size else [])


def crop_largest(rgb: UInt8[np.ndarray, "h w 3"], find: Detector, size: int) -> Aligned:
    """Crop the largest face found; flags say when there were several."""
    faces = find(rgb)
    if not faces:
        raise Rejection("no_face")
    _, eyes = max(faces, key=lambda face: face[0])
    crop = crop_by_eyes(rgb, eyes, size)
    return Aligned(crop.image, crop.flags + (["several_faces"] if len(faces) > 1 else []))


def crop_by_eyes(
    rgb: UInt8[np.ndarray, "h w 3"],
    eyes: Float[np.ndarray, "2 2"],
    size: int,
    places: Float[np.ndarray, "2 2"] | tuple = (LEFT_EYE, RIGHT_EYE),
) -> Aligned:
    """Rotate, scale and shift so that the eye centres (viewer's left first) come to their places (shares)."""
    target = np.array(places) * size
    source_gap, target_gap = complex(*(eyes[1] - eyes[0])), complex(*(target[1] - target[0]))
    if abs(source_gap) < 2:
        raise Rejection("no_face", "eye centres coincide")
    turn = target_gap / source_gap
    flags = ["upscaled"] if abs(turn) > 1 else []
    if abs(turn) < 1:  # warping alone would skip pixels and alias
        shrunk = (max(1, round(rgb.shape[1] * abs(turn))), max(1, round(rgb.shape[0] * abs(turn))))
        factor = np.array(shrunk) / (rgb.shape[1], rgb.shape[0])
        rgb = cv2.resize(rgb, shrunk, interpolation=cv2.INTER_AREA)
        eyes = (eyes + 0.5) * factor - 0.5
        turn = target_gap / complex(*(eyes[1] - eyes[0]))
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    matrix = np.column_stack([rotation, target.mean(axis=0) - 0.5 - rotation @ eyes.mean(axis=0)])
    corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]]) - matrix[:, 2]
    sources = corners @ np.linalg.inv(rotation).T
    if (sources < -1).any() or (sources > np.array([rgb.shape[1], rgb.shape[0]])).any():
        flags.append("padded")
    image = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return Aligned(image, flags)


def _shrink(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    scale = min(1.0, DETECT_SIDE_PX / max(rgb.shape[:2]))
    if scale == 1.0:
        return rgb, scale
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale


def load_dlib(predictor_path: str) -> Detector:
    """Return dlib's HOG detector with a 5- or 68-point predictor ("": the 68-point one of PyPI)."""
    dlib: Any = importlib.import_module("dlib")  # ships no types
    path = Path(predictor_path) if predictor_path else packaged_predictor()
    if not path.is_file():
        raise ValueError(f"detector_path: {path} is no file; name a dlib shape predictor, or leave it empty")
    detect, predict = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))

    def find(rgb: np.ndarray) -> list[tuple[float, np.ndarray]]:
        small, scale = _shrink(rgb)
        small = np.ascontiguousarray(small)
        boxes = detect(small, 1 if max(small.shape[:2]) < 600 else 0)
        return [(box.area() / scale**2, _dlib_eyes(predict(small, box)) / scale) for box in boxes]

    return find


def packaged_predictor() -> Path:
    """Find the predictor without importing its package, which needs a vanished pkg_resources."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise ValueError("detector: dlib needs `pip install face_recognition_models`, or set detector_path")
    return Path(spec.origin).parent / "models" / "shape_predictor_68_face_landmarks.dat"


def _dlib_eyes(shape: Any) -> np.ndarray:
    points = np.array([(point.x, point.y) for point in shape.parts()], float)
    if len(points) == 68:
        eyes = np.array([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
    elif len(points) == 5:
        eyes = np.array([points[2:4].mean(axis=0), points[0:2].mean(axis=0)])
    else:
        raise ValueError(f"detector_path: a predictor of {len(points)} points; allowed: 5 or 68")
    return eyes
