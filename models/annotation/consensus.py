"""One mask out of several readers', and how far each reader is from what the others drew."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import SimpleITK as sitk
from jaxtyping import Bool

from models.segmentation.masks import box_of, dice

Method = Literal["majority", "staple"]
MIN_OTHERS = 2  # one other reader is no consensus
MAX_ITERATIONS = 200


def consensus(masks: Bool[np.ndarray, "k h w"], method: Method) -> Bool[np.ndarray, "h w"]:
    """Return the consensus of k masks; it is sought in the box around their union, and no pixel lies outside.

    So STAPLE judges readers where there is something to judge, not by how much healthy face is around.
    """
    if not len(masks):
        raise ValueError("masks: none given, so there is no consensus")
    found = np.zeros(masks.shape[1:], bool)
    if masks.any():
        left, top, right, bottom = box_of(np.logical_or.reduce(masks))
        box = np.s_[top : bottom + 1, left : right + 1]
        found[box] = (majority if method == "majority" else staple)(masks[:, *box])
    return found


def majority(masks: Bool[np.ndarray, "k h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that lie in more than half of the masks."""
    return 2 * masks.sum(0) > len(masks)


def staple(masks: Bool[np.ndarray, "k h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that STAPLE (Warfield 2004) gives more than one half, by SimpleITK.

    Where everybody drew everything its estimates divide by zero, and the majority stands.
    """
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    probability = sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0, 1.0, MAX_ITERATIONS))
    return np.where(np.isfinite(probability), probability > 0.5, majority(masks)) & masks.any(0)


def leave_one_out_dice(masks: Mapping[str, Bool[np.ndarray, "h w"]], method: Method) -> dict[str, float]:
    """Return each reader's Dice against the consensus of the others; empty with fewer than two others.

    Of two others, more than half means both: their majority is the part that they share.
    """
    if len(masks) <= MIN_OTHERS:
        return {}
    return {
        name: dice(mask, consensus(np.stack([other for key, other in masks.items() if key != name]), method))
        for name, mask in masks.items()
    }
