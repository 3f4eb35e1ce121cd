"""Masks as plain arrays: overlap, size, encoding, and a digest that says whether two are the same."""

import hashlib

import cv2
import numpy as np
from jaxtyping import Bool


def iou(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    """Return intersection over union (the Jaccard index); 1 where both are empty."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def dice(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    """Return twice the intersection over the sum of both sizes; 1 where both are empty."""
    total = a.sum() + b.sum()
    return float(2 * np.logical_and(a, b).sum() / total) if total else 1.0


def box_of(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom px, all inside the mask; raises ValueError on an empty one."""
    ys, xs = np.nonzero(mask)
    if not len(xs):
        raise ValueError("mask: empty, so it has no box")
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def mask_sha256(mask: Bool[np.ndarray, "h w"]) -> str:
    """Return the digest of a mask's size and pixels."""
    digest = hashlib.sha256(f"{mask.shape[0]}x{mask.shape[1]}".encode())
    digest.update(np.packbits(mask.astype(bool)).tobytes())
    return digest.hexdigest()


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> bytes:
    """Return the mask as a grey PNG of 0 and 255."""
    done, buffer = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    assert done
    return buffer.tobytes()


def decode_mask(data: bytes) -> Bool[np.ndarray, "h w"]:
    """Return a mask that `encode_mask` wrote; raises ValueError on bytes that are no picture."""
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError(f"mask: {len(data)} bytes that are no readable picture")
    return grey > 127
