"""First masks without a click: what the prompt's disease changed, against the same face sampled as normal."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from models.segmentation.masks import box_of
from models.segmentation.sam import Prompt, Sam

FACE = (0.06, 0.28, 0.94, 0.85)  # left, top, right, bottom of an aligned face: hair and background change too
LIGHTNESS_WEIGHT = 0.4  # hair, brows and wrinkles move in it between two samples, signs rather in colour
BLUR_SHARE = 0.012  # of the image's height: single pixels are noise
PEAK_SHARE = 0.45  # of the strongest change: from here on a pixel belongs to it
SECOND_SHARE = 0.75  # a further region counts where its own peak reaches this share
MIN_CHANGE = 6.0  # CIELAB units: less is the sampler's own variation


def colour_change(image: UInt8[np.ndarray, "h w 3"], healthy: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Return how far each pixel's colour moved (CIELAB), without what moved everywhere; 0 outside the face."""
    a, b = (cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for x in (image, healthy))
    moved = (a - b) * np.array((LIGHTNESS_WEIGHT, 1, 1), np.float32)
    moved -= np.median(moved, axis=(0, 1))
    change = cv2.GaussianBlur(np.linalg.norm(moved, axis=2), (0, 0), BLUR_SHARE * len(image))
    left, top, right, bottom = _window(change.shape)
    inside = np.zeros_like(change)
    inside[top:bottom, left:right] = change[top:bottom, left:right]
    return inside


def changed_regions(
    image: UInt8[np.ndarray, "h w 3"], healthy: UInt8[np.ndarray, "h w 3"]
) -> list[Bool[np.ndarray, "h w"]]:
    """Return the regions of strongest change, strongest first; none where the sampler changed nothing.

    What runs out of the face's window is hair or background: it is left out, however strong.
    """
    change = colour_change(image, healthy)
    edge = _edge(change.shape)
    while (peak := float(change.max())) >= MIN_CHANGE:
        _, labels = cv2.connectedComponents((change >= PEAK_SHARE * peak).astype(np.uint8))
        outside = set(labels[edge].tolist()) - {0}
        regions = [labels == k for k in range(1, labels.max() + 1) if k not in outside]
        strong = [(float(change[r].max()), r) for r in regions if change[r].max() >= SECOND_SHARE * peak]
        if strong:
            return [region for _, region in sorted(strong, key=lambda pair: -pair[0])]
        change[np.isin(labels, list(outside))] = 0
    return []


def first_mask(
    sam: Sam, embedding: Float[Tensor, "c m n"], image: UInt8[np.ndarray, "h w 3"], healthy: UInt8[np.ndarray, "h w 3"]
) -> tuple[Bool[np.ndarray, "h w"], float] | None:
    """Return SAM's masks of the changed regions' boxes as one, and its least score; None where none changed."""
    regions = changed_regions(image, healthy)
    found = [sam.segment(embedding, image.shape[:2], Prompt(box=box_of(region))) for region in regions]
    found = [proposal for proposal in found if proposal.best.any()]
    if not found:
        return None
    united = np.logical_or.reduce([proposal.best for proposal in found])
    return united, float(min(proposal.scores[0] for proposal in found))


def _window(shape: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = shape
    left, top, right, bottom = (round(s * length) for s, length in zip(FACE, (width, height) * 2, strict=True))
    return left, top, right, bottom


def _edge(shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the outermost pixels of the face's window."""
    left, top, right, bottom = _window(shape)
    edge = np.zeros(shape, bool)
    edge[top:bottom, left:right] = True
    edge[top + 1 : bottom - 1, left + 1 : right - 1] = False
    return edge
