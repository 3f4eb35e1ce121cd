"""Which faces of a picture a method may replace, and which squares are hidden as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, UInt8

from models.photos.every_face import Face
from models.photos.regions import CORE, Region, changed_share, core, window
from models.photos.reinsertion import Placement, coverage, place_by_eyes

MIN_REPLACED = 0.5  # share of the new face in a pixel that counts as changed
MIN_COVERED = 0.98  # of the disc that holds a face's eyes
MARGIN = 1.35  # of a square without forehead: hairline and chin
GREY = 128
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Plan:
    """What becomes of a picture's faces: new ones at `places`, grey over `hidden` (left, top, right, bottom).

    `rims` are squares about faces that are replaced: of their discs, what no new face covers turns grey as well.
    """

    places: list[Placement]
    hidden: list[Box]
    doubtful: list[Face]
    rims: list[Region] = field(default_factory=list)


def plan_faces(
    faces: Sequence[Face], shape: tuple[int, ...], crop_px: int, first: Sequence[Placement] = ()
) -> Plan:
    """Return a plan in which no region of any detector keeps its eyes.

    Faces whose eyes are known are replaced. A region that neither these nor `first` cover is hidden whole, or the
    rest of its disc alone where it has those eyes in its middle, so that detectors agree.
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
    rims: list[Region] = []
    for face in faces:
        bare = [region for region in face.regions if not _covered([region], replaced)]
        agreed = [r for r in bare if face.geometry is not None and r.holds(face.geometry.eyes, CORE)]
        rims += agreed
        if len(bare) > len(agreed):
            doubtful.append(face)
            hidden += [region.box(MARGIN) for region in bare if region not in agreed]
    return Plan(places, hidden, doubtful, rims)


def hide(picture: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a copy in plain grey where the mask is, from which nothing can be computed back."""
    return np.where(mask[..., None], np.uint8(GREY), picture)


def hidden_mask(boxes: Sequence[Box], shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Return which pixels the boxes hide."""
    mask = np.zeros(shape[:2], bool)
    for box in boxes:
        mask[window(box, shape)] = True
    return mask


def rim_mask(
    rims: Sequence[Region], places: Sequence[Placement], shape: tuple[int, ...]
) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of the rims' discs no new face covers."""
    mask, replaced = np.zeros(shape[:2], bool), np.zeros(shape[:2], bool)
    for rim in rims:
        where, disc = core(rim, shape)
        mask[where] |= disc
    for place in places:
        _cover(replaced, place, shape)
    return mask & ~replaced


def _cover(replaced: Bool[np.ndarray, "h w"], place: Placement, shape: tuple[int, ...]) -> None:
    where, share = coverage(place, shape)
    replaced[where] |= share >= MIN_REPLACED


def _covered(regions: Sequence[Region], replaced: Bool[np.ndarray, "h w"]) -> bool:
    return all(changed_share(region, replaced) >= MIN_COVERED for region in regions)
