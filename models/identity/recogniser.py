"""A recogniser from its file: ONNX through insightface's model zoo, or dlib's network."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import onnx
import onnxruntime
from insightface.model_zoo import get_model
from jaxtyping import Float, UInt8

from models.identity.chip import INSIGHTFACE_EYES, chip
from models.identity.dlib_network import DlibNetwork
from models.photos.alignment import LEFT_EYE, RIGHT_EYE, crop_by_eyes

Alignment = Literal["frame", "template"]
BATCH = 64
Images = Sequence[UInt8[np.ndarray, "h w 3"]] | UInt8[np.ndarray, "n h w 3"]


class Recogniser(Protocol):
    """Turns aligned RGB faces into L2-normalised embeddings, so that a dot product is their cosine."""

    def embed(self, images: Any) -> Float[np.ndarray, "n d"]:
        """Return one embedding per aligned RGB uint8 face, any square size."""
        ...

    def embed_at(self, pictures: Any, eyes: Any) -> Float[np.ndarray, "n d"]:
        """Return one embedding per picture of the face whose eye centres (px, viewer's left first) are given.

        It sees what a published recogniser wants to see; this project's frame ends at the mouth.
        """
        ...


class OnnxRecogniser:
    """An ONNX file that insightface's model zoo knows as a recogniser."""

    def __init__(self, path: Path, alignment: Alignment | None = None) -> None:
        """Load a network of input N x 3 x S x S.

        `alignment`: "frame" feeds the whole aligned face, resized; "template" moves it to insightface's
        five-point template, as published recognisers expect. None reads the file's property `alignment`,
        which the twins carry; a file without it is a published one.
        """
        if not path.is_file():
            raise ValueError(f"recognisers: no file {path}; train the twins (make twins) or name an ONNX file")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._network: Any = get_model(str(path), providers=["CPUExecutionProvider"], sess_options=options)
        if getattr(self._network, "taskname", "") != "recognition":
            raise ValueError(f"recognisers: {path} is no recogniser; its input must be N x 3 x 112 x 112 or larger")
        properties = {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}
        self.alignment: str = alignment or properties.get("alignment", "template")
        self._size = int(self._network.input_size[0])

    def embed(self, images: Images) -> Float[np.ndarray, "n d"]:
        """Return one L2-normalised embedding per aligned RGB face."""
        return self._embed(self._chip(image) for image in images)

    def embed_at(self, pictures: Images, eyes: Sequence[np.ndarray]) -> Float[np.ndarray, "n d"]:
        """Return one embedding per picture of the face at these eyes."""
        places = (LEFT_EYE, RIGHT_EYE) if self.alignment == "frame" else _template_eyes(self._size)
        return self._embed(
            crop_by_eyes(rgb, at, self._size, places).image for rgb, at in zip(pictures, eyes, strict=True)
        )

    def _embed(self, chips: Iterator[np.ndarray]) -> Float[np.ndarray, "n d"]:
        parts = []
        while some := list(itertools.islice(chips, BATCH)):
            parts.append(self._network.get_feat([np.ascontiguousarray(face[..., ::-1]) for face in some]))
        if not parts:
            return np.zeros((0, int(self._network.output_shape[-1])), np.float32)
        found = np.concatenate(parts).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def _chip(self, image: np.ndarray) -> np.ndarray:
        if self.alignment == "frame":
            shrinking = image.shape[0] > self._size
            interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            return cv2.resize(image, (self._size, self._size), interpolation=interpolation)
        return chip(image, _template_eyes(self._size), self._size)


def _template_eyes(size: int) -> Float[np.ndarray, "2 2"]:
    """Return where insightface has the eyes, as shares; its 128-px crop is 8 px wider each side."""
    if size % 112 == 0:
        return INSIGHTFACE_EYES
    return (INSIGHTFACE_EYES * 112 + np.array([8.0, 0.0])) / 128


def load_recogniser(path: Path | str, alignment: Alignment | None = None) -> Recogniser:
    """Load dlib's network from a .dat file, any other from ONNX; raises ValueError naming the file."""
    path = Path(path)
    return DlibNetwork(path) if path.suffix == ".dat" else OnnxRecogniser(path, alignment)
