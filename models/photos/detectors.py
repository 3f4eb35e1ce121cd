"""Detectors of upright faces behind one interface: a picture in, squares and scores out."""

import functools
import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import packaged_predictor

# rows of x, y (centre), side and score, in pixels of the picture given
Found = Float[np.ndarray, "n 4"]


class Detector(Protocol):
    """What is needed to look for faces with it."""

    @property
    def name(self) -> str:
        """Who it is, in reports."""
        ...

    @property
    def window_px(self) -> int:
        """Side of the smallest face that it finds."""
        ...

    @property
    def tile(self) -> tuple[int, int] | None:
        """Width and height of what it looks at, None: any picture."""
        ...

    @property
    def sure(self) -> float:
        """A score that needs no second opinion."""
        ...

    def find(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Found:
        """Return the upright faces."""
        ...


@dataclass(frozen=True)
class Hog:
    """dlib's HOG and SVM (King, 2015): frontal faces, each within some 25 degrees of upright."""

    threshold: float = -0.5
    name: str = "hog"
    window_px: int = 80
    tile: tuple[int, int] | None = None
    sure: float = 0.2

    def find(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Found:
        """Return the upright faces; scores are margins."""
        boxes, scores, _ = _hog().run(np.ascontiguousarray(rgb), 0, self.threshold)
        return _rows([_square(box) for box in boxes], scores)


@functools.cache
def _hog() -> Any:
    return importlib.import_module("dlib").get_frontal_face_detector()  # ships no types


@dataclass(frozen=True)
class Cnn:
    """dlib's max-margin CNN (King, 2016): slow, and hardly ever wrong; any pose, some 45 degrees of turn."""

    name: str = "cnn"
    window_px: int = 80
    tile: tuple[int, int] | None = None
    sure: float = 0.0

    @cached_property
    def _network(self) -> Any:
        dlib: Any = importlib.import_module("dlib")
        return dlib.cnn_face_detection_model_v1(str(packaged_predictor().with_name("mmod_human_face_detector.dat")))

    def find(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Found:
        """Return the upright faces; scores are margins."""
        found = self._network(np.ascontiguousarray(rgb), 0)
        return _rows([_square(face.rect) for face in found], [face.confidence for face in found])


@dataclass(frozen=True)
class UltraFace:
    """Ultra-Light-Fast-Generic-Face-Detector (RFB, 320 x 240), an ONNX file run by onnxruntime."""

    path: str
    threshold: float = 0.5
    name: str = "ultraface"
    window_px: int = 22  # it sees smaller ones as well, less surely
    tile: tuple[int, int] | None = (320, 240)
    sure: float = 0.6

    @cached_property
    def _session(self) -> Any:
        if not Path(self.path).is_file():
            raise ValueError(f"detector_path: {self.path!r} is no file; name UltraFace's version-RFB-320.onnx")
        onnxruntime: Any = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # the file's hundred warnings say that its weights are inputs
        options.intra_op_num_threads = 1  # of 11 ms a tile
        return onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])

    def find(self, rgb: UInt8[np.ndarray, "240 320 3"]) -> Found:
        """Return the faces in one tile; scores are probabilities."""
        blob = ((rgb.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
        name = self._session.get_inputs()[0].name
        scores, boxes = (np.asarray(out)[0] for out in self._session.run(None, {name: blob}))
        seen = scores[:, 1] > self.threshold
        corners = boxes[seen] * np.tile([rgb.shape[1], rgb.shape[0]], 2)
        return _thinned(_from_face_boxes(corners, scores[seen, 1]))


@dataclass(frozen=True)
class Scrfd:
    """insightface's SCRFD from a local ONNX file, or the folder that holds det_*.onnx."""

    path: str
    threshold: float = 0.4
    name: str = "scrfd"
    window_px: int = 16
    tile: tuple[int, int] | None = (640, 640)
    sure: float = 0.7

    @cached_property
    def _network(self) -> Any:
        place = Path(self.path)
        files = [place] if self.path.endswith(".onnx") else sorted(place.glob("det_*.onnx")) if self.path else []
        if not files or not files[0].is_file():
            raise ValueError(f"detector_path: {self.path!r} holds no det_*.onnx; name a folder with an SCRFD detector")
        from insightface.model_zoo import get_model

        model: Any = get_model(str(files[0]), providers=["CPUExecutionProvider"])
        if model is None or not hasattr(model, "detect"):
            raise ValueError(f"detector_path: {files[0]} is no detector that insightface knows")
        model.prepare(ctx_id=-1, input_size=self.tile, det_thresh=self.threshold)
        return model

    def find(self, rgb: UInt8[np.ndarray, "640 640 3"]) -> Found:
        """Return the faces in one tile; scores are probabilities."""
        boxes, _ = self._network.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        return _from_face_boxes(boxes[:, :4], boxes[:, 4])


def load_detectors(name: str, path: str) -> list[Detector]:
    """Return the detectors that a setting names, each tried by loading it: a missing file ends the run here.

    dlib: HOG and CNN, which are packaged. ultraface, insightface: these, and the network at `path`.
    """
    extra: dict[str, list[Detector]] = {"dlib": [], "ultraface": [UltraFace(path)], "insightface": [Scrfd(path)]}
    if name not in extra:
        raise ValueError(f"detector: {name!r} is not one of dlib, ultraface, insightface")
    detectors: list[Detector] = [*extra[name], Hog(), Cnn()]
    for detector in detectors:
        width, height = detector.tile or (80, 80)
        detector.find(np.zeros((height, width, 3), np.uint8))
    return detectors


def _square(rect: Any) -> tuple[float, float, float]:
    half = (rect.right() - rect.left() + 1) / 2
    return rect.left() + half, rect.top() + half, 2 * half


def _rows(squares: list[tuple[float, float, float]], scores: Any) -> Found:
    return np.array([(*square, score) for square, score in zip(squares, scores, strict=True)]).reshape(-1, 4)


def _from_face_boxes(corners: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, " n"]) -> Found:
    """Return squares about the middle of boxes from chin to forehead, as large as dlib's."""
    sizes = corners[:, 2:4] - corners[:, :2]
    centres = (corners[:, 2:4] + corners[:, :2]) / 2
    return np.column_stack([centres, 0.8 * sizes.max(axis=1), scores])


def _thinned(found: Found, iou: float = 0.6) -> Found:
    """Drop what lies almost exactly on a surer one, of which a network without suppression gives dozens."""
    left_top = found[:, :2] - found[:, 2:3] / 2
    boxes = np.column_stack([left_top, found[:, 2], found[:, 2]])
    keep = cv2.dnn.NMSBoxes(boxes.tolist(), found[:, 3].tolist(), 0.0, iou)
    return found[np.asarray(keep, int).reshape(-1)]
