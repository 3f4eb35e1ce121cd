"""A picture searched for faces in four directions and at several scales, coarse ones by the dear detector."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.detectors import Cnn, Detector
from models.photos.regions import Region

QUARTERS = (0, 1, 2, 3)  # turns of 90 degrees anticlockwise
CNN_PIXELS = 90_000  # eight seconds a megapixel on a core: for the large faces only
GREY = 127
MAX_PIXELS = 1e8  # of a scaled picture, for the memory's sake


@dataclass(frozen=True)
class Pass:
    """One detector over the picture at one scale, in these quarter turns."""

    detector: Detector
    scale: float
    quarters: tuple[int, ...] = QUARTERS

    @property
    def smallest_px(self) -> float:
        """The smallest side of a face, in pixels of the picture, that is found."""
        return self.detector.window_px / self.scale


def passes(detectors: Sequence[Detector], shape: tuple[int, ...], smallest_px: float) -> list[Pass]:
    """Return what is to be done for faces from `smallest_px` upwards; the CNN sees a small picture only."""
    area = float(shape[0] * shape[1])
    todo: list[Pass] = []
    fine = any(d.tile for d in detectors)
    for detector in detectors:
        if isinstance(detector, Cnn):
            todo.append(Pass(detector, min(1.0, (CNN_PIXELS / area) ** 0.5)))
            continue
        # where a network on tiles sees the small ones, HOG need not enlarge the picture for them
        target = max(smallest_px, detector.window_px) if fine and not detector.tile else smallest_px
        scale = min(detector.window_px / target, (MAX_PIXELS / area) ** 0.5)
        todo.append(Pass(detector, scale))
        while detector.tile and scale * max(shape[:2]) > min(detector.tile):
            scale /= 2
            todo.append(Pass(detector, scale))
    return todo


def smallest_face_px(todo: Sequence[Pass]) -> float:
    """Return the side of the smallest face that some pass finds, in pixels of the picture."""
    return min(one.smallest_px for one in todo)


def search(rgb: UInt8[np.ndarray, "h w 3"], todo: Sequence[Pass]) -> list[Region]:
    """Return all that any pass finds, unmerged."""
    found: list[Region] = []
    for one in todo:
        size = [max(1, round(side * one.scale)) for side in (rgb.shape[1], rgb.shape[0])]
        how = cv2.INTER_AREA if one.scale < 1 else cv2.INTER_CUBIC
        scaled = rgb if one.scale == 1 else cv2.resize(rgb, size, interpolation=how)
        factor = np.array(size) / (rgb.shape[1], rgb.shape[0])
        border = _border(one.detector)
        scaled = np.pad(scaled, ((border, border), (border, border), (0, 0)), constant_values=GREY)
        for quarter in one.quarters:
            turned = np.ascontiguousarray(np.rot90(scaled, quarter))
            rows = np.concatenate([_shifted(one.detector, *tile) for tile in _tiles(turned, one.detector.tile)])
            centres = (_turned_back(rows[:, :2], quarter, scaled.shape) - border) / factor
            found += [
                Region(float(x), float(y), float(side / factor.mean()), 90.0 * quarter, one.detector.name, float(s))
                for (x, y), side, s in zip(centres, rows[:, 2], rows[:, 3], strict=True)
            ]
    return found


def _border(detector: Detector) -> int:
    """Return how much grey is laid round a picture, so that a face which its edge cuts is seen on every side alike.

    Of 17 faces cut at the nose by the left edge 9 were seen without it, and 13 with it.
    """
    if isinstance(detector, Cnn):
        return 0  # its time grows with the area
    return detector.tile[1] // 8 if detector.tile else detector.window_px // 2


def _shifted(detector: Detector, tile: np.ndarray, left: int, top: int) -> Float[np.ndarray, "n 4"]:
    return detector.find(tile) + np.array([left, top, 0, 0])


def _tiles(rgb: np.ndarray, size: tuple[int, int] | None) -> Iterator[tuple[np.ndarray, int, int]]:
    """Yield tiles of (width, height) that overlap by a quarter of the height, grey beyond the picture."""
    if size is None:
        yield rgb, 0, 0
        return
    width, height = size
    overlap = height // 4
    for top in _starts(rgb.shape[0], height, overlap):
        for left in _starts(rgb.shape[1], width, overlap):
            part = rgb[top : top + height, left : left + width]
            below, beside = height - part.shape[0], width - part.shape[1]
            if below or beside:
                part = np.pad(part, ((0, below), (0, beside), (0, 0)), constant_values=GREY)
            yield np.ascontiguousarray(part), left, top


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(at) for at in np.linspace(0, length - tile, count)]


def _turned_back(points: Float[np.ndarray, "n 2"], quarter: int, shape: tuple[int, ...]) -> Float[np.ndarray, "n 2"]:
    """Return where points (as pixel borders) of a picture turned by np.rot90 lie in the picture itself."""
    x, y = points.T
    height, width = shape[:2]
    back = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return np.column_stack(back[quarter])
