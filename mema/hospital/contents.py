"""What a side-car holds, as bytes: safetensors, so that reading it runs no code."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float16, Float64
from safetensors.numpy import load, save

FILE_ID_BYTES = 16


@dataclass(frozen=True)
class Contents:
    """All that reversal needs beside the de-identified picture; nothing of it may stand in clear."""

    features: Float16[np.ndarray, "n c h w"]  # f_enc, one per face
    matrices: Float64[np.ndarray, "n 2 3"]  # picture's pixel -> crop's pixel
    crop_px: int
    picture_shape: tuple[int, int]  # height, width
    picture_sha256: str  # of the de-identified file
    pixels_sha256: str
    source_sha256: str  # of the photo's file
    model_sha256: str
    file_id: bytes = field(repr=False)  # salt of the network's passwords; random, so it tells nothing
    band: bytes = b""  # RGBA PNG: the photo's pixels where its faces fade into it, alpha 0 elsewhere
    band_corner: tuple[int, int] = (0, 0)  # its first row and column
    original: bytes | None = None  # the photo's file
    thumbnail: bytes = b""  # of the de-identified picture; empty where an earlier version sealed
    original_suffix: str = ""
    source_name: str = ""  # of the photo's file; empty where an earlier version sealed, like the next three
    num_faces: int = 0  # replaced and hidden
    audit_log: str = ""  # identity of the log that a restoration must be written to
    audit_place: str = ""  # where that log was


TEXTS = ("picture_sha256", "pixels_sha256", "source_sha256", "model_sha256", "original_suffix")
TEXTS += ("source_name", "audit_log", "audit_place")
NUMBERS = ("crop_px", "num_faces")
PAIRS = ("picture_shape", "band_corner")
BYTES = ("band", "original", "thumbnail")


def pack(contents: Contents) -> bytes:
    """Return the contents as bytes."""
    tensors = {"features": contents.features, "matrices": contents.matrices}
    for name in BYTES:
        if value := getattr(contents, name):
            tensors[name] = np.frombuffer(value, np.uint8)
    texts = {name: getattr(contents, name) for name in TEXTS}
    texts |= {name: getattr(contents, name) for name in (*NUMBERS, *PAIRS)}
    texts["file_id"] = contents.file_id.hex()
    return save(tensors, {"contents": json.dumps(texts)})


def unpack(data: bytes) -> Contents:
    """Return the contents of authenticated bytes."""
    tensors = load(data)
    length = int.from_bytes(data[:8], "little")
    texts: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["contents"])
    texts |= {name: tuple(texts[name]) for name in PAIRS}
    texts["file_id"] = bytes.fromhex(texts["file_id"])
    texts |= {name: tensors[name].tobytes() for name in BYTES if name in tensors}
    return Contents(features=tensors["features"], matrices=tensors["matrices"], **texts)
