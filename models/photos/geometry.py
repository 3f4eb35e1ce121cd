"""How a face is turned and where its eyes are, or that neither can be trusted.

dlib's 68 points look like a face whatever lies below them. So the direction is the one that the HOG detector likes
best of eight, and the points must lie as eyes, nose and mouth do and stay where they are under small shifts.
"""

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import packaged_predictor
from models.photos.detectors import Hog
from models.photos.regions import Region, middle

FACE_PX, CROP_PX = 110, 286  # the face's side in the crop in which it is turned
STEP_DEGREES = 45
MIN_MARGIN = -0.4  # of HOG in the best direction
EYE_GAP = (0.30, 0.60)  # of the square's side
MAX_SHIFT = 0.12  # of the eyes' gap, when the square is moved a little
LEFT_EYE_POINTS, RIGHT_EYE_POINTS = slice(36, 42), slice(42, 48)  # of iBUG's 68


@dataclass(frozen=True)
class Geometry:
    """Eye centres in the picture (the viewer's left first, of a viewer who holds the head upright)."""

    eyes: Float[np.ndarray, "2 2"]
    direction: float  # degrees anticlockwise that bring the face upright, in (-180, 180]
    margin: float


def find_geometry(rgb: UInt8[np.ndarray, "h w 3"], regions: list[Region]) -> Geometry | None:
    """Return the geometry of the face that regions of one group frame, or None where it can't be trusted."""
    place = middle(regions)
    best = max((_upright(rgb, place, angle) for angle in range(0, 360, STEP_DEGREES)), key=lambda found: found[0])
    margin, angle, box = best
    for _ in range(2):  # the eyes say how far the head is still tilted
        if box is None or margin < MIN_MARGIN:
            return None
        points = _points(_crop(rgb, place, angle)[0], box)
        tilt = _tilt(points)
        if abs(tilt) < 8:
            break
        margin, angle, box = _upright(rgb, place, angle + tilt)
    else:
        if box is None or margin < MIN_MARGIN:
            return None
    crop, matrix = _crop(rgb, place, angle)
    points = _points(crop, box)
    if abs(_tilt(points)) > 20 or not plausible(points, box) or not _steady(crop, box, points):
        return None
    inverse = cv2.invertAffineTransform(matrix)
    eyes = _eyes(points) @ inverse[:, :2].T + inverse[:, 2]
    gap = eyes[1] - eyes[0]
    return Geometry(eyes, float(np.degrees(np.arctan2(gap[1], gap[0]))), float(margin))


def plausible(points: Float[np.ndarray, "68 2"], box: Float[np.ndarray, " 4"]) -> bool:
    """Say whether eyes, nose and mouth lie in a square as those of an upright face do."""
    left, top, right, bottom = box
    side = right - left
    (x1, y1), (x2, y2) = _eyes(points)
    nose, mouth = points[27:36].mean(axis=0), points[48:68].mean(axis=0)
    eyes_y = (y1 + y2) / 2
    return bool(
        EYE_GAP[0] <= np.hypot(x2 - x1, y2 - y1) / side <= EYE_GAP[1]
        and x1 < x2
        and left <= x1 and x2 <= right
        and top <= min(y1, y2) and max(y1, y2) <= top + side / 2
        and eyes_y < nose[1] < mouth[1] <= bottom + 0.15 * side
        and x1 - 0.2 * side < nose[0] < x2 + 0.2 * side
        and _opposite(points)
    )  # fmt: skip


def _opposite(points: np.ndarray) -> bool:
    """Say whether both eyes are of like width, as far as a head turned by some 45 degrees has them."""
    widths = [np.linalg.norm(points[39] - points[36]), np.linalg.norm(points[45] - points[42])]
    return bool(min(widths) > 0.4 * max(widths))


def _steady(crop: np.ndarray, box: np.ndarray, points: np.ndarray) -> bool:
    """Say whether the eyes stay where they are when the square is moved or the picture mirrored."""
    eyes = _eyes(points)
    gap = np.linalg.norm(eyes[1] - eyes[0])
    side = box[2] - box[0]
    moved = [_eyes(_points(crop, box + side * np.array(shift))) for shift in
             ((0.06, 0.06, 0.06, 0.06), (-0.06, -0.06, -0.06, -0.06), (-0.06, -0.06, 0.06, 0.06))]  # fmt: skip
    mirror = np.ascontiguousarray(crop[:, ::-1])
    flipped = _eyes(_points(mirror, np.array([CROP_PX - box[2], box[1], CROP_PX - box[0], box[3]])))[::-1]
    moved.append(np.column_stack([CROP_PX - 1 - flipped[:, 0], flipped[:, 1]]))
    return max(np.linalg.norm(other - eyes, axis=1).max() for other in moved) <= MAX_SHIFT * gap


def _upright(
    rgb: np.ndarray, place: tuple[float, float, float], angle: float
) -> tuple[float, float, np.ndarray | None]:
    """Return the best margin of HOG on the crop turned by `angle`, the angle, and the square that has it."""
    found = Hog(threshold=-1.0).find(_crop(rgb, place, angle)[0])
    near = np.abs(found[:, :2] - CROP_PX / 2).max(axis=1) < 0.4 * FACE_PX
    like = (found[:, 2] > 0.55 * FACE_PX) & (found[:, 2] < 1.7 * FACE_PX)
    found = found[near & like]
    if not len(found):
        return -np.inf, angle, None
    x, y, side, margin = found[found[:, 3].argmax()]
    return float(margin), angle, np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def turned_crop(
    rgb: UInt8[np.ndarray, "h w 3"], place: tuple[float, float, float], angle: float, crop_px: int, face_px: int
) -> tuple[UInt8[np.ndarray, "c c 3"], Float[np.ndarray, "2 3"]]:
    """Return a face's surroundings turned anticlockwise, and the matrix that brings a pixel there.

    `place` is the square's centre and side, as pixel borders; a side becomes `face_px`.
    """
    x, y, side = place
    scale = face_px / side
    matrix = cv2.getRotationMatrix2D((x - 0.5, y - 0.5), angle, scale)
    matrix[:, 2] += crop_px / 2 - 0.5 - np.array([x - 0.5, y - 0.5])
    if scale >= 0.5:
        return _warped(rgb, matrix, crop_px), matrix
    half = 0.75 * side * crop_px / face_px  # shrunk first: warping alone would skip pixels
    left, top = (int(max(0, at - half)) for at in (x, y))
    part = rgb[top : max(top + 1, int(y + half)), left : max(left + 1, int(x + half))]
    size = [max(1, round(length * scale)) for length in (part.shape[1], part.shape[0])]
    shrunk = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    factor = np.array(size) / (part.shape[1], part.shape[0])
    inner = matrix.copy()
    inner[:, 2] += matrix[:, :2] @ (np.array([left, top]) + 0.5 / factor - 0.5)
    inner[:, :2] = matrix[:, :2] / factor
    return _warped(shrunk, inner, crop_px), matrix


def _warped(rgb: np.ndarray, matrix: np.ndarray, crop_px: int) -> np.ndarray:
    return cv2.warpAffine(rgb, matrix, (crop_px, crop_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _crop(rgb: np.ndarray, place: tuple[float, float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    return turned_crop(rgb, place, angle, CROP_PX, FACE_PX)


def _points(crop: np.ndarray, box: np.ndarray) -> Float[np.ndarray, "68 2"]:
    dlib: Any = importlib.import_module("dlib")  # ships no types
    rect = dlib.rectangle(*np.rint(box).astype(int).tolist())
    return np.array([(point.x, point.y) for point in _predictor()(crop, rect).parts()], float)


@functools.cache
def _predictor() -> Any:
    return importlib.import_module("dlib").shape_predictor(str(packaged_predictor()))


def _eyes(points: np.ndarray) -> Float[np.ndarray, "2 2"]:
    return np.array([points[LEFT_EYE_POINTS].mean(axis=0), points[RIGHT_EYE_POINTS].mean(axis=0)])


def _tilt(points: np.ndarray) -> float:
    """Return by how many degrees anticlockwise the crop has yet to be turned for level eyes."""
    x, y = np.diff(_eyes(points), axis=0)[0]
    return float(np.degrees(np.arctan2(y, x)))
