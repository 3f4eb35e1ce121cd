"""Colours that a sign takes from the face it is painted on."""

import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.eye import SCLERA
from phantom.drawing.painter import Painter


def skin_near(painter: Painter, eye: Eye) -> np.ndarray:
    """Return the skin's colour below the eye."""
    centre = eye.centre + (0, 0.42 * eye.width)
    part = painter.crop(centre - 0.16 * eye.width, centre + 0.16 * eye.width)
    return np.median(part.pixels.reshape(-1, 3), axis=0) if part.pixels.size else np.array((200, 160, 140), np.float32)


def eye_colours(painter: Painter, eye: Eye) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of sclera and iris, as far as the lids leave them free."""
    reach = np.array((0.6, 0.5), np.float32) * eye.width
    part = painter.crop(eye.centre - reach, eye.centre + reach)
    height, width = part.pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(x + part.origin[0] - eye.iris[0], y + part.origin[1] - eye.iris[1]) / eye.radius
    inside = part.mask(eye.contour) > 0.9
    below = y + part.origin[1] > eye.iris[1] - 0.1 * eye.radius
    white = part.pixels[inside & (distance > 1.2)]
    ring = part.pixels[inside & below & (distance > 0.5) & (distance < 0.85)]
    sclera = np.percentile(white, 70, axis=0) if len(white) > 3 else SCLERA
    iris = np.median(ring, axis=0) if len(ring) > 3 else np.array((90, 64, 48), np.float32)
    return sclera.astype(np.float32), iris.astype(np.float32)


def pick(contour: np.ndarray, share: float) -> np.ndarray:
    """Return the point at `share` (0 to 1) of a polyline's points."""
    place = share * (len(contour) - 1)
    low = min(int(place), len(contour) - 2)
    return contour[low] + (place - low) * (contour[low + 1] - contour[low])
