"""Simulated readers' hands: where somebody clicks who means a known object, and where he corrects a mask."""

import cv2
import numpy as np
from jaxtyping import Bool

from models.segmentation.masks import box_of


def inner_point(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int]:
    """Return the (x, y) that lies deepest inside the mask: a careful click."""
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(x), int(y)


def random_point(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> tuple[int, int]:
    """Return any (x, y) of the mask: a hasty click."""
    ys, xs = np.nonzero(mask)
    pick = int(rng.integers(len(xs)))
    return int(xs[pick]), int(ys[pick])


def loose_box(
    mask: Bool[np.ndarray, "h w"], rng: np.random.Generator, *, slack: float = 0.15
) -> tuple[float, float, float, float]:
    """Return a box around the mask whose sides miss it by up to `slack` of its size, within the image."""
    left, top, right, bottom = box_of(mask)
    width, height = right - left + 1, bottom - top + 1
    off = rng.uniform(-slack, slack, 4) * (width, height, width, height)
    limits = (mask.shape[1] - 1, mask.shape[0] - 1) * 2
    shifted = np.array((left, top, right, bottom), float) + off
    x0, y0, x1, y1 = (float(np.clip(value, 0, limit)) for value, limit in zip(shifted, limits, strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def correction(truth: Bool[np.ndarray, "h w"], found: Bool[np.ndarray, "h w"]) -> tuple[tuple[int, int], bool] | None:
    """Return the next click, in the middle of the largest mistake, and whether it is positive; None if none.

    A missing part gets a positive click, a surplus part a negative one (as SAM's interactive training has it).
    """
    wrong = (truth ^ found).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong, connectivity=4)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y = inner_point(labels == largest)
    return (x, y), bool(truth[y, x])
