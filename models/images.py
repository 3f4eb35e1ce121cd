"""Encoded pictures: RGB arrays to lossless PNG and back, by OpenCV, beside the computation."""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import cv2
import numpy as np
from jaxtyping import UInt8

MAX_THREADS = 4
PNG = [
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH,
]  # fmt: skip


def encode_png(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return the picture as lossless PNG.

    Runs of equal bytes and Paeth's filter alone: OpenCV's fastest setting near the size of Pillow's files on
    photographs (docs/speed.md).
    """
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, buffer = cv2.imencode(".png", bgr, PNG)
    assert done
    return buffer.tobytes()


def decode(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Return an encoded picture as RGB; raises ValueError on bytes that are no picture, or too large a one."""
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes at all, or more pixels than OpenCV allows
        bgr = None
    if bgr is None:
        raise ValueError(f"image: {len(data)} bytes that are no readable picture; make or copy the file again")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def image_id(rgb: np.ndarray) -> str:
    """Return the sha256 of an RGB uint8 [H, W, 3] image's size ("HxW") and pixels, whatever its encoding."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image_id: {rgb.dtype} {rgb.shape} given; pass uint8 [H, W, 3] in RGB order")
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def tile(images: UInt8[np.ndarray, "n h w 3"], columns: int) -> UInt8[np.ndarray, "gh gw 3"]:
    """Return the pictures on one sheet, row by row, white where the last row is short."""
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * columns, height, width, 3), 255, np.uint8)
    sheet[:n] = images
    return sheet.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)


def num_threads() -> int:
    """Return in how many threads pictures are encoded here."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_THREADS, cores)


class PngWriter:
    """Encodes pictures in threads, in order; OpenCV releases the interpreter's lock meanwhile."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(num_threads(), thread_name_prefix="png")
        self._encoded: list[Future[bytes]] = []

    def write(self, images: UInt8[np.ndarray, "n h w 3"]) -> None:
        """Queue pictures; the arrays must not change afterwards."""
        self._encoded += [self._pool.submit(encode_png, image) for image in images]

    def collect(self) -> list[bytes]:
        """Wait for what was queued since the last call and return it, in the order of writing."""
        encoded, self._encoded = [future.result() for future in self._encoded], []
        return encoded

    def __enter__(self) -> "PngWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
