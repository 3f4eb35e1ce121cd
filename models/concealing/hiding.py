"""Which faces of a picture a method may replace, and which squares are hidden as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from models.concealing.reinsertion import Placement, coverage, place_by_eyes
from models.photos.every_face import Face
from models.photos.regions import Region, changed_share, window

MIN_REPLACED = 0.5  # share of the new face in a pixel that counts as changed
MIN_COVERED = 0.98  # of the disc that holds a face's eyes
MARGIN = 1.35  # of a square without forehead: hairline and chin
GREY = 128
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Plan:
    """What becomes of a picture's faces: new ones at `places`, grey over `hidden` (left, top, right, bottom)."""

    places: list[Placement]
    hidden: list[Box]
    doubtful: list[Face]


def plan_faces(faces: Sequence[Face], shape: tuple[int, ...], crop_px: int, first: Sequence[Placement] = ()) -> Plan:
    """Return a plan in which no region of any detector keeps its eyes.

    Faces whose eyes are known are replaced. A region that neither these nor `first` cover is hidden whole.
    """
    places = [*first]
    replaced = np.zeros(shape[:2], bool)
    for place in places:
        _cover(replaced, place, shape)
    for face in faces:
        if face.geometry is not None and not (first and _covered(face.regions, replaced)):
            places.append(place_by_eyes(face.geometry.eyes, crop_px))
            _cover(replaced, places[-1], shape)
    hidden: list[Box] = []
    doubtful: list[Face] = []
    for face in faces:
        bare = [region for region in face.regions if not _covered([region], replaced)]
        if bare:
            doubtful.append(face)
            hidden += [region.box(MARGIN) for region in bare]
    return Plan(places, hidden, doubtful)


def hide(picture: UInt8[np.ndarray, "h w 3"], boxes: Sequence[Box]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a copy with the boxes in plain grey, from which nothing can be computed back."""
    out = picture.copy()
    for box in boxes:
        out[window(box, out.shape)] = GREY
    return out


def hidden_mask(boxes: Sequence[Box], shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Return which pixels the boxes hide."""
    mask = np.zeros(shape[:2], bool)
    for box in boxes:
        mask[window(box, shape)] = True
    return mask


def _cover(replaced: Bool[np.ndarray, "h w"], place: Placement, shape: tuple[int, ...]) -> None:
    where, share = coverage(place, shape)
    replaced[where] |= share >= MIN_REPLACED


def _covered(regions: Sequence[Region], replaced: Bool[np.ndarray, "h w"]) -> bool:
    return all(changed_share(region, replaced) >= MIN_COVERED for region in regions)
