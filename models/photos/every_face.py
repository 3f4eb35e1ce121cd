"""Every face of a picture, by two detectors of different kinds: a face that is missed stays recognisable."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import DETECT_SIDE_PX, Detector, load_scrfd, packaged_predictor

ULTRAFACE_SIZE = (320, 240)
MIN_SCORE = 0.7
MAX_OVERLAP = 0.5  # of the smaller box: detectors frame one face differently
LEFT_EYE_POINTS, RIGHT_EYE_POINTS = slice(36, 42), slice(42, 48)  # of iBUG's 68
# A box is (left, top, right, bottom) in pixels of the picture, the surest first
BoxFinder = Callable[[np.ndarray], Float[np.ndarray, "n 4"]]
EyeFinder = Callable[[np.ndarray], list[np.ndarray]]


def load_eye_finder(detector: str, detector_path: str) -> EyeFinder:
    """Return picture -> the eye centres [2, 2] px of every face, the largest first.

    `dlib`: its HOG detector, at two sizes. `ultraface`: that, and the network of the ONNX file. Both place
    the eyes by dlib's 68 points. `insightface`: an SCRFD network, which places them itself.
    """
    if detector == "insightface":
        return _eyes_of(load_scrfd(detector_path))
    if detector not in ("dlib", "ultraface"):
        raise ValueError(f"detector: {detector!r} is not one of dlib, ultraface, insightface")
    dlib: Any = importlib.import_module("dlib")  # ships no types
    finders = [_hog(dlib)] + ([load_ultraface(detector_path)] if detector == "ultraface" else [])
    predict = dlib.shape_predictor(str(packaged_predictor()))

    def find(rgb: np.ndarray) -> list[np.ndarray]:
        small, scale = _shrink(rgb)
        boxes = distinct(np.concatenate([finder(small) for finder in finders]))
        return [_eyes(predict(small, dlib.rectangle(*np.rint(box).astype(int).tolist()))) / scale
                for box in boxes]  # fmt: skip

    return find


def load_ultraface(path: str) -> BoxFinder:
    """Return the Ultra-Light-Fast-Generic-Face-Detector (RFB, 320 x 240), run by onnxruntime."""
    if not Path(path).is_file():
        raise ValueError(f"detector_path: {path!r} is no file; name UltraFace's version-RFB-320.onnx")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the file's hundred warnings say that its weights are inputs
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def find(rgb: np.ndarray) -> np.ndarray:
        pixels = cv2.resize(rgb, ULTRAFACE_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        blob = ((pixels - 127) / 128).transpose(2, 0, 1)[None]
        scores, boxes = (np.asarray(out)[0] for out in session.run(None, {name: blob}))
        sure = np.flatnonzero(scores[:, 1] > MIN_SCORE)
        sure = sure[np.argsort(-scores[sure, 1])]
        return _as_hog(boxes[sure] * np.tile([rgb.shape[1], rgb.shape[0]], 2))

    return find


def distinct(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "m 4"]:
    """Drop boxes that share half of the smaller one with an earlier box; return the largest first."""
    kept: list[np.ndarray] = []
    for box in boxes:
        if all(_overlap(box, other) <= MAX_OVERLAP for other in kept):
            kept.append(box)
    return np.array(sorted(kept, key=_area, reverse=True)).reshape(-1, 4)


def _hog(dlib: Any) -> BoxFinder:
    detect = dlib.get_frontal_face_detector()

    def find(rgb: np.ndarray) -> np.ndarray:
        found = detect(rgb, 1)  # doubled once: HOG's own window is 80 px
        return np.array([(r.left(), r.top(), r.right(), r.bottom()) for r in found], float).reshape(-1, 4)

    return find


def _as_hog(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Return squares as dlib's HOG frames a face, on which its points were trained: without the forehead."""
    left, top, right, bottom = boxes.T
    middle, centre, half = (left + right) / 2, top + 0.56 * (bottom - top), 0.375 * (bottom - top)
    return np.stack([middle - half, centre - half, middle + half, centre + half], axis=1)


def _eyes_of(detector: Detector) -> EyeFinder:
    def find(rgb: np.ndarray) -> list[np.ndarray]:
        return [eyes for _, eyes in sorted(detector(rgb), key=lambda face: -face[0])]

    return find


def _eyes(shape: Any) -> Float[np.ndarray, "2 2"]:
    points = np.array([(point.x, point.y) for point in shape.parts()], float)
    return np.array([points[LEFT_EYE_POINTS].mean(axis=0), points[RIGHT_EYE_POINTS].mean(axis=0)])


def _shrink(rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[np.ndarray, float]:
    scale = min(1.0, DETECT_SIDE_PX / max(rgb.shape[:2]))
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(rgb), scale


def _area(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = float(np.prod(np.clip(high - low, 0, None)))
    return common / max(min(_area(one), _area(other)), 1e-9)
