"""Anti-aliased soft painting on a float canvas, each stroke confined to the pixels that it touches."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's sub-pixel coordinates
Colour = Sequence[float] | np.ndarray


class Painter:
    """Paints on `pixels` in place, in pixel coordinates; `coverage` remembers how opaquely, if tracked."""

    def __init__(self, pixels: np.ndarray, origin: tuple[int, int] = (0, 0), *, track: bool = False) -> None:
        self.pixels = pixels  # float32 [h, w, 3], 0 to 255
        self.origin = np.array(origin, np.float32)  # x, y of the first pixel in the coordinates of the strokes
        self.coverage = np.zeros(pixels.shape[:2], np.float32) if track else None

    def crop(self, low: np.ndarray, high: np.ndarray) -> "Painter":
        """Return a painter of the part between two corners, which shares pixels, coverage and coordinates."""
        height, width = self.pixels.shape[:2]
        x0, y0 = np.clip(np.floor(low - self.origin), 0, (width, height)).astype(int)
        x1, y1 = np.clip(np.ceil(high - self.origin), 0, (width, height)).astype(int)
        part = Painter(self.pixels[y0:y1, x0:x1], (int(self.origin[0]) + x0, int(self.origin[1]) + y0))
        if self.coverage is not None:
            part.coverage = self.coverage[y0:y1, x0:x1]
        return part

    def fill(
        self,
        points: np.ndarray,
        colour: Colour,
        alpha: float = 1.0,
        *,
        blur: float = 0.0,
        clip: np.ndarray | None = None,
        multiply: bool = False,
    ) -> None:
        """Fill a polygon; `colour` is an RGB triple or a whole canvas of them, a factor if `multiply`."""
        box = self._box(points, blur)
        if box is not None:
            self._blend(box, self._polygon(points, box, blur), colour, alpha, clip, multiply)

    def lines(
        self,
        lines: Sequence[np.ndarray] | np.ndarray,
        colour: Colour,
        width: float,
        alpha: float = 1.0,
        *,
        blur: float = 0.0,
        clip: np.ndarray | None = None,
        multiply: bool = False,
    ) -> None:
        """Draw polylines as one layer; a line thinner than a pixel is drawn fainter instead."""
        if len(lines) == 0:
            return
        box = self._box(np.concatenate(list(lines)), blur + width)
        if box is None:
            return
        mask = np.zeros((box[1] - box[0], box[3] - box[2]), np.uint8)
        offset = self.origin + (box[2], box[0])
        fixed = [np.round((line - offset) * (1 << _SHIFT)).astype(np.int32) for line in lines]
        cv2.polylines(mask, fixed, False, 255, max(1, round(width)), cv2.LINE_AA, _SHIFT)
        self._blend(box, _soften(mask, blur), colour, alpha * min(1.0, width), clip, multiply)

    def glow(
        self,
        centre: Colour,
        radii: tuple[float, float],
        colour: Colour,
        alpha: float,
        *,
        clip: np.ndarray | None = None,
        multiply: bool = False,
    ) -> None:
        """Lay a Gaussian spot with standard deviations `radii` along x and y."""
        point = np.asarray(centre, np.float32)
        reach = 2.6 * np.asarray(radii, np.float32)
        box = self._box(np.stack([point - reach, point + reach]), 0)
        if box is None:
            return
        local = point - self.origin
        column = np.exp(-0.5 * ((np.arange(box[0], box[1], dtype=np.float32) - local[1]) / radii[1]) ** 2)
        row = np.exp(-0.5 * ((np.arange(box[2], box[3], dtype=np.float32) - local[0]) / radii[0]) ** 2)
        self._blend(box, np.outer(column, row), colour, alpha, clip, multiply)

    def mask(self, points: np.ndarray, blur: float = 0.0) -> np.ndarray:
        """Return the polygon's soft mask over the whole canvas, 0 to 1."""
        box = (0, self.pixels.shape[0], 0, self.pixels.shape[1])
        return self._polygon(points, box, blur)

    def _box(self, points: np.ndarray, margin: float) -> tuple[int, int, int, int] | None:
        low = np.floor(points.min(0) - self.origin - 2.5 * margin - 2).astype(int)
        high = np.ceil(points.max(0) - self.origin + 2.5 * margin + 3).astype(int)
        y0, y1 = max(0, low[1]), min(self.pixels.shape[0], high[1])
        x0, x1 = max(0, low[0]), min(self.pixels.shape[1], high[0])
        return (y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None

    def _polygon(self, points: np.ndarray, box: tuple[int, int, int, int], blur: float) -> np.ndarray:
        mask = np.zeros((box[1] - box[0], box[3] - box[2]), np.uint8)
        offset = self.origin + (box[2], box[0])
        fixed = np.round((points - offset) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
        return _soften(mask, blur)

    def _blend(
        self,
        box: tuple[int, int, int, int],
        mask: np.ndarray,
        colour: Colour,
        alpha: float,
        clip: np.ndarray | None,
        multiply: bool,
    ) -> None:
        area = (slice(box[0], box[1]), slice(box[2], box[3]))
        mask = mask * np.float32(alpha)
        if clip is not None:
            mask *= clip[area]
        target = np.asarray(colour, np.float32)
        if target.ndim == 3:
            target = target[area]
        part = self.pixels[area]
        if multiply:
            part *= 1 + (target - 1) * mask[..., None]
        else:
            part += (target - part) * mask[..., None]
        if self.coverage is not None:
            np.maximum(self.coverage[area], mask, out=self.coverage[area])


def _soften(mask: np.ndarray, blur: float) -> np.ndarray:
    if blur > 6:
        size = 2 * round(2 * blur) + 1
        mask = cv2.stackBlur(mask, (size, size))
    elif blur > 0.2:
        mask = cv2.GaussianBlur(mask, (0, 0), blur)
    return mask.astype(np.float32) * np.float32(1 / 255)


@cache
def _catmull_rom(num_points: int, samples: int, closed: bool) -> np.ndarray:
    """Return the [m, n] matrix that maps n control points to m points of their Catmull-Rom curve."""
    spans = num_points if closed else num_points - 1
    rows = []
    for span in range(spans):
        index = [span - 1, span, span + 1, span + 2]
        index = [i % num_points if closed else min(max(i, 0), num_points - 1) for i in index]
        for u in np.arange(samples) / samples:
            weights = (-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, -(u**2) + u**3)
            row = np.zeros(num_points)
            for i, weight in zip(index, weights, strict=True):
                row[i] += weight / 2
            rows.append(row)
    if not closed:
        rows.append(np.eye(num_points)[-1])
    return np.array(rows, np.float32)


def curve(points: Sequence[Sequence[float]] | np.ndarray, samples: int = 8, *, closed: bool = False) -> np.ndarray:
    """Return a smooth curve through the points, `samples` steps between two of them."""
    array = np.asarray(points, np.float32)
    return _catmull_rom(len(array), samples, closed) @ array


def mix(first: Colour, second: Colour, share: float) -> np.ndarray:
    """Return the colour `share` of the way from the first to the second."""
    first = np.asarray(first, np.float32)
    return first + (np.asarray(second, np.float32) - first) * np.float32(share)


def palette(colours: Sequence[Colour], position: float) -> np.ndarray:
    """Return the colour at `position` (0 to 1) of a list of evenly spaced colours."""
    place = float(np.clip(position, 0, 1)) * (len(colours) - 1)
    index = min(int(place), len(colours) - 2)
    return mix(colours[index], colours[index + 1], place - index)
