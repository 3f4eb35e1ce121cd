"""Every face of a picture: what several detectors saw of it, and its eyes where these can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from models.photos.detectors import Cnn, Detector, load_detectors
from models.photos.geometry import Geometry, find_geometry, turned_crop
from models.photos.regions import Region, grouped, middle
from models.photos.search import Pass, passes, search, smallest_face_px

CONFIRM_PX, CONFIRM_FACE_PX = 180, 100
TURNED_DEGREES = 45
FRAMED = "aligned"  # instead of a detector: the picture is said to be a face in the common frame


@dataclass(frozen=True)
class Face:
    """All that was seen of one face; `geometry` is None where its eyes can't be placed with certainty."""

    regions: tuple[Region, ...]
    geometry: Geometry | None

    @property
    def detectors(self) -> list[str]:
        """Return who saw it."""
        return sorted({region.detector for region in self.regions})

    @property
    def side_px(self) -> float:
        """Return the median side of its squares."""
        return middle(self.regions)[2]

    @property
    def turned(self) -> bool:
        """Say whether the head is more than 45 degrees from upright, or seen so by all where no eyes are known."""
        if self.geometry is not None:
            return abs(self.geometry.direction) > TURNED_DEGREES
        return all(region.direction != 0 for region in self.regions)


@dataclass(frozen=True)
class Seeker:
    """Looks for faces from `smallest_px` upwards with all its detectors."""

    detectors: tuple[Detector, ...]
    smallest_px: float

    def plan(self, shape: tuple[int, ...]) -> list[Pass]:
        """Return the passes over a picture of this shape."""
        return passes(self.detectors, shape, self.smallest_px)

    def smallest(self, shape: tuple[int, ...]) -> float:
        """Return the side of the smallest face that it can see in a picture of this shape."""
        return smallest_face_px(self.plan(shape))

    def regions(self, rgb: UInt8[np.ndarray, "h w 3"]) -> list[Region]:
        """Return all that any detector took for a face."""
        return search(rgb, self.plan(rgb.shape))

    def faces(self, rgb: UInt8[np.ndarray, "h w 3"], regions: Sequence[Region] | None = None) -> list[Face]:
        """Return every face, the largest first; a region that doesn't hold the eyes found is a face of its own.

        `regions` are those of this picture, where they are at hand.
        """
        faces: list[Face] = []
        seen = self.regions(rgb) if regions is None else regions
        for group in confirmed(rgb, seen, self.detectors):
            geometry = find_geometry(rgb, group)
            if geometry is None:
                faces.append(Face(tuple(group), None))
                continue
            held = tuple(region for region in group if region.holds(geometry.eyes))
            others = tuple(region for region in group if region not in held)
            faces += [Face(held, geometry)] if held else []
            faces += [Face(others, None)] if others else []
        return sorted(faces, key=lambda face: -face.side_px)


def load_seeker(detector: str, detector_path: str, smallest_px: float) -> Seeker:
    """Return what looks for faces with the detectors that a setting names (models.photos.detectors)."""
    return Seeker(tuple(load_detectors(detector, detector_path)), smallest_px)


def confirmed(
    rgb: UInt8[np.ndarray, "h w 3"], regions: Sequence[Region], detectors: Sequence[Detector]
) -> list[list[Region]]:
    """Return the groups that are faces; what only one detector took for one, unsurely, is shown to the CNN."""
    sure = {detector.name: detector.sure for detector in detectors}
    cnn = next((detector for detector in detectors if isinstance(detector, Cnn)), Cnn())
    kept = []
    for group in grouped(regions):
        convinced = any(region.score >= sure[region.detector] for region in group)
        if convinced or len({region.detector for region in group}) > 1:
            kept.append(group)
        elif seen := _second_opinion(rgb, group, cnn):
            kept.append([*group, seen])
    return kept


def _second_opinion(rgb: np.ndarray, group: list[Region], cnn: Cnn) -> Region | None:
    """Return the CNN's view of a group's place, in the directions in which it was seen, or None."""
    x, y, side = middle(group)
    for direction in sorted({region.direction for region in group}):
        crop, matrix = turned_crop(rgb, (x, y, side), direction, CONFIRM_PX, CONFIRM_FACE_PX)
        found = cnn.find(crop)
        near = np.abs(found[:, :2] - CONFIRM_PX / 2).max(axis=1) < 0.4 * CONFIRM_FACE_PX
        if near.any():
            row = found[near][0]
            inverse = np.linalg.inv(matrix[:, :2])
            place = inverse @ (row[:2] - 0.5 - matrix[:, 2]) + 0.5
            size = float(row[2] * np.sqrt(abs(np.linalg.det(inverse))))
            return Region(float(place[0]), float(place[1]), size, direction, cnn.name, float(row[3]))
    return None
