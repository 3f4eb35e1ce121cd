"""A face taken out of a picture and another put back in its place, without a seam.

The border of the crop fades over a band, and the new face takes the light of the old border first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from models.photos.alignment import LEFT_EYE, RIGHT_EYE
from models.photos.rejection import Rejection

FADE_SHARE = 0.14  # of the crop's side: the eyes' outer corners lie at a fifth
LIGHT_SHARE = 0.2  # how far the border's light reaches inwards, likewise
MAX_VARIATION = 30.0  # grey levels along the border, about its median
MASK_PX = 256
MIN_EYE_GAP_PX = 2.0


@dataclass(frozen=True)
class Placement:
    """Where a square crop lies: `matrix` brings a picture's pixel (x, y, 1) to the crop's pixel."""

    matrix: Float[np.ndarray, "2 3"]
    size_px: int

    @property
    def scale(self) -> float:
        """Crop pixels per pixel of the picture."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def corners(self) -> Float[np.ndarray, "4 2"]:
        """Return the crop's corners in the picture, clockwise from its upper left, as pixel borders."""
        low, high = -0.5, self.size_px - 0.5
        inside = np.array([[low, low], [high, low], [high, high], [low, high]]) - self.matrix[:, 2]
        return inside @ np.linalg.inv(self.matrix[:, :2]).T


def place_by_eyes(eyes: Float[np.ndarray, "2 2"], size_px: int) -> Placement:
    """Return the crop with the eye centres (viewer's left first) where `alignment.crop_by_eyes` has them."""
    target = np.array([LEFT_EYE, RIGHT_EYE]) * size_px
    gap = complex(*(eyes[1] - eyes[0]))
    if abs(gap) < MIN_EYE_GAP_PX:
        raise Rejection("no_face", "eye centres coincide")
    turn = complex(*(target[1] - target[0])) / gap
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    shift = target.mean(axis=0) - 0.5 - rotation @ eyes.mean(axis=0)
    return Placement(np.column_stack([rotation, shift]), size_px)


def place_centre(shape: tuple[int, ...], size_px: int) -> Placement:
    """Return the central square, for pictures that are aligned faces already."""
    side = min(shape[:2])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    scale = size_px / side
    shift = [scale * (0.5 - left) - 0.5, scale * (0.5 - top) - 0.5]
    return Placement(np.column_stack([np.eye(2) * scale, shift]), size_px)


def take_face(rgb: UInt8[np.ndarray, "h w 3"], placement: Placement) -> UInt8[np.ndarray, "s s 3"]:
    """Return the crop; a large face is sampled several times per pixel and averaged."""
    times = max(1, int(np.ceil(1 / placement.scale)))
    size = placement.size_px
    matrix = placement.matrix * times
    matrix[:, 2] += (times - 1) / 2
    (top, bottom), (left, right) = _window(placement, rgb.shape, margin=4)
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    fine = cv2.warpAffine(
        np.ascontiguousarray(rgb[top:bottom, left:right]), matrix, (size * times, size * times),
        flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA) if times > 1 else fine


def put_back(
    rgb: UInt8[np.ndarray, "h w 3"], face: UInt8[np.ndarray, "s s 3"], placement: Placement
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a copy of the picture with `face` at its place; no pixel outside `coverage` changes."""
    out = rgb.copy()
    rows, columns = _window(placement, rgb.shape)
    window = out[slice(*rows), slice(*columns)]
    if not window.size:
        return out
    lit = _take_light(face, take_face(rgb, placement), _crop_mask(placement, rgb.shape, placement.size_px))
    matrix = placement.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (columns[0], rows[0])
    warped = _warp_to_window(lit, matrix, placement.scale, (window.shape[1], window.shape[0]))
    mask = coverage(placement, rgb.shape)[1][..., None]
    blended = window + mask * (np.clip(warped, 0, 255) - window)
    window[...] = np.where(mask > 0, np.rint(blended), window).astype(np.uint8)
    return out


def coverage(placement: Placement, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Float32[np.ndarray, "wh ww"]]:
    """Return the window of the picture that the crop touches, and there the share of the new face."""
    rows, columns = _window(placement, shape)
    scale = MASK_PX / placement.size_px
    matrix = placement.matrix * scale
    matrix[:, 2] += 0.5 * scale - 0.5 + matrix[:, :2] @ (columns[0], rows[0])
    mask = cv2.warpAffine(
        _crop_mask(placement, shape, MASK_PX), matrix, (columns[1] - columns[0], rows[1] - rows[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return (slice(*rows), slice(*columns)), mask


def fading(placements: Sequence[Placement], shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Return where pixels of the picture are changed by some face and wholly replaced by none."""
    touched, replaced = np.zeros(shape[:2], bool), np.zeros(shape[:2], bool)
    for placement in placements:
        window, mask = coverage(placement, shape)
        touched[window] |= mask > 0
        replaced[window] |= mask >= 1
    return touched & ~replaced


def _window(placement: Placement, shape: tuple[int, ...], margin: int = 0) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns, first and past the last, of the crop's bounding box within the picture."""
    corners = placement.corners()
    low = np.floor(corners.min(axis=0)).astype(int) - margin
    high = np.ceil(corners.max(axis=0)).astype(int) + 1 + margin
    limit = np.array([shape[1], shape[0]])
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    return (int(low[1]), int(high[1])), (int(low[0]), int(high[0]))


def _crop_mask(placement: Placement, shape: tuple[int, ...], side: int) -> Float32[np.ndarray, "s s"]:
    """Return the share of the new face over the crop: 1 inside, fading to 0 along a rounded square.

    An edge that lies on or beyond the picture's own border doesn't fade: there is nothing to join.
    """
    corners = placement.corners()
    limit = np.array([shape[1], shape[0]]) - 0.5
    places = 2 * (np.arange(side) + 0.5) / side - 1
    across, down = (places.astype(np.float32) for _ in range(2))
    halves = ((down, places < 0), (across, places > 0), (down, places > 0), (across, places < 0))
    for edge, (axis, half) in enumerate(halves):
        ends = corners[[edge, (edge + 1) % 4]]
        if (ends <= -0.5 + 0.01).all(axis=0).any() or (ends >= limit - 0.01).all(axis=0).any():
            axis[half] = 0
    radius = (across[None] ** 4 + down[:, None] ** 4) ** 0.25
    way = np.clip((1 - 2 / side - radius) / (2 * FADE_SHARE), 0, 1)
    return (way * way * (3 - 2 * way)).astype(np.float32)


def _take_light(face: np.ndarray, old: np.ndarray, mask: np.ndarray) -> Float32[np.ndarray, "s s 3"]:
    """Add what the border of the old crop differs by: its median, and what varies along it, softly.

    A broad shift of light and colour, so what is redder than its surroundings stays as much redder. The
    variation is bounded, since hair against skin is no light; Poisson cloning burns such faces.
    """
    lit = face.astype(np.float32)
    band = (mask < 1) & (mask > 0)
    if not band.any():
        return lit
    difference = old.astype(np.float32) - lit
    shift = np.median(difference[band], axis=0)
    rest = np.clip(difference - shift, -MAX_VARIATION, MAX_VARIATION)
    weight = (band * (1 - mask)).astype(np.float32)
    sigma = LIGHT_SHARE * face.shape[0]
    total, share = (cv2.GaussianBlur(values, (0, 0), sigma) for values in (weight[..., None] * rest, weight))
    return lit + shift + total / np.maximum(share, 1e-6)[..., None]


def _warp_to_window(
    face: Float32[np.ndarray, "s s 3"], matrix: np.ndarray, scale: float, size: tuple[int, int]
) -> Float32[np.ndarray, "wh ww 3"]:
    """Draw the crop over the window; one that shrinks is averaged first."""
    if scale > 1:
        side = max(1, round(face.shape[0] / scale))
        factor = side / face.shape[0]
        face = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        matrix = matrix * factor
        matrix[:, 2] += 0.5 * factor - 0.5
    return cv2.warpAffine(
        face, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
