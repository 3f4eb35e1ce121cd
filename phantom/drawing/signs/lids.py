"""Ptosis and thyroid associated ophthalmopathy: the lids stand too low or too high."""

from dataclasses import replace

import cv2
import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.eye import draw_eyeball
from phantom.drawing.painter import Painter
from phantom.drawing.signs.sampling import eye_colours, skin_near


def _rows(line: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.interp(columns, line[:, 0], line[:, 1]).astype(np.float32)


def _lower_lid_skin(painter: Painter, top: np.ndarray, margin: np.ndarray, skin: np.ndarray) -> None:
    """Cover the eye from `top` down to `margin` with the colours along `top`, evened out by the skin's."""
    part = painter.crop(np.minimum(top.min(0), margin.min(0)) - 2, np.maximum(top.max(0), margin.max(0)) + 3)
    height, width = part.pixels.shape[:2]
    columns = np.arange(width, dtype=np.float32) + part.origin[0]
    start, end = _rows(top, columns), _rows(margin, columns)
    found = cv2.remap(painter.pixels, columns[None], start[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    found = cv2.GaussianBlur(found, (0, 0), 0.12 * width)
    found = np.maximum(0.5 * found + 0.48 * skin, 0.80 * skin)
    y = np.arange(height, dtype=np.float32)[:, None] + part.origin[1]
    depth = np.clip((y - start) / np.maximum(end - start, 1), 0, 1)[..., None]
    round_lid = 1 + 0.10 * np.sin(np.pi * depth**1.3) - depth**4 * np.array((0.22, 0.30, 0.30), np.float32)
    part.fill(np.concatenate([top, margin[::-1]]), np.clip(found * round_lid, 0, 255), blur=0.012 * width)


def _stretch(painter: Painter, fixed: np.ndarray, margin: np.ndarray, moved: np.ndarray, beyond: float) -> None:
    """Move a lid's margin and stretch the skin between it and a fixed line.

    `beyond` px past the margin go with it. The lines share their x; nothing changes where `moved` equals
    `margin`.
    """
    columns = np.arange(int(np.ceil(margin[0, 0])), int(np.floor(margin[-1, 0])) + 1)
    far, old, new = (_rows(line, columns)[None, :] for line in (fixed, margin, moved))
    side = np.sign(old - far)
    top = int(max(0, np.floor(min(far.min(), new.min(), old.min()) - beyond)))
    bottom = int(min(painter.pixels.shape[0], np.ceil(max(far.max(), new.max(), old.max()) + beyond) + 1))
    left, right = max(0, columns[0]), min(painter.pixels.shape[1], columns[-1] + 1)
    keep = slice(left - columns[0], right - columns[0])
    far, old, new, side = far[:, keep], old[:, keep], new[:, keep], side[:, keep]
    y = np.arange(top, bottom, dtype=np.float32)[:, None]
    scale = np.where(np.abs(new - far) > 0.5, (old - far) / np.where(np.abs(new - far) > 0.5, new - far, 1), 1)
    inside = np.where((y - new) * side > 0, old + (y - new), far + (y - far) * scale)
    weight = np.clip((y - far) * side + 0.5, 0, 1) * np.clip((new - y) * side + beyond + 0.5, 0, 1)
    weight = weight * np.clip(np.abs(new - old), 0, 1)
    x = np.broadcast_to(np.arange(left, right, dtype=np.float32), inside.shape)
    warped = cv2.remap(
        painter.pixels, x.copy(), inside.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    area = (slice(top, bottom), slice(left, right))
    painter.pixels[area] += (warped - painter.pixels[area]) * weight[..., None]
    if painter.coverage is not None:
        np.maximum(painter.coverage[area], weight, out=painter.coverage[area])


def _middle_line(eye: Eye, share: float) -> np.ndarray:
    """Return the line `share` of the way from the upper lid's margin to the brow."""
    brow = _rows(eye.brow, eye.upper[:, 0])
    return np.stack([eye.upper[:, 0], eye.upper[:, 1] + share * (brow - eye.upper[:, 1])], 1)


def draw_ptosis(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Ptosis: the upper lid droops over the pupil, its fold is lost, the brow rises to help."""
    w = eye.width
    _raise_brow(painter, eye, (0.05 + 0.13 * amount) * w)
    drop = (0.22 + 0.60 * amount) * (eye.lower[:, 1] - eye.upper[:, 1])
    moved = eye.upper + np.stack([0 * drop, drop], 1)
    _lower_lid_skin(painter, _middle_line(eye, 0.34), moved, skin_near(painter, eye))
    fold = moved - (0, 0.12 * w)
    painter.lines([moved[1:-1]], (40, 26, 24), 0.045 * w, 0.75, blur=0.008 * w)
    painter.lines([fold[2:-2]], (1.10, 1.07, 1.06), 0.10 * w, 0.5, blur=0.04 * w, multiply=True)
    shade = np.concatenate([moved, moved[::-1] + (0, 0.06 * w)])
    painter.fill(shade, (0.55, 0.48, 0.48), 0.5, blur=0.02 * w, clip=painter.mask(eye.contour), multiply=True)


def _raise_brow(painter: Painter, eye: Eye, lift: float) -> None:
    """Push the brow up and let the push fade out around it."""
    w, centre = eye.width, eye.brow.mean(0)
    reach = np.array((1.0, 0.55), np.float32) * w
    part = painter.crop(centre - reach, centre + reach)
    height, width = part.pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = (x + part.origin[0] - centre[0]) / reach[0]
    v = (y + part.origin[1] - centre[1]) / reach[1]
    push = np.clip(1 - u**2, 0, 1) ** 1.5 * np.clip(1 - v**2, 0, 1) ** 1.5
    part.pixels[:] = cv2.remap(
        part.pixels.copy(), x, y + lift * push, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if part.coverage is not None:
        np.maximum(part.coverage, np.where(push > 0.02, 0.5, 0).astype(np.float32), out=part.coverage)


def draw_tao(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Thyroid associated ophthalmopathy: retracted swollen lids, white above and below the iris."""
    w, middle = eye.width, (eye.upper[:, 1] + eye.lower[:, 1]) / 2
    sclera, colour = eye_colours(painter, eye)
    show = (1.06 + 0.36 * amount) * eye.radius
    lift = max(1.12, show / max(1.0, float((eye.iris[1] - eye.upper[:, 1]).max())))
    sink = max(1.12, show / max(1.0, float((eye.lower[:, 1] - eye.iris[1]).max())))
    top = eye.iris[1] + (eye.upper[:, 1] - eye.iris[1]) * lift
    bottom = eye.iris[1] + (eye.lower[:, 1] - eye.iris[1]) * sink
    fade = np.clip(1 - np.linspace(-1, 1, len(top)) ** 6, 0, 1)
    top, bottom = (old + (new - old) * fade for old, new in ((eye.upper[:, 1], top), (eye.lower[:, 1], bottom)))
    wide = replace(
        eye,
        upper=np.stack([eye.upper[:, 0], np.minimum(top, middle)], 1).astype(np.float32),
        lower=np.stack([eye.lower[:, 0], np.maximum(bottom, middle)], 1).astype(np.float32),
    )
    _draw_swelling(painter, wide, amount)
    _stretch(painter, _middle_line(eye, 0.75), eye.upper, wide.upper, 0.03 * w)
    _stretch(painter, eye.lower + (0, 0.45 * w), eye.lower, wide.lower, 0.02 * w)
    reach = np.array((0.75, 0.75), np.float32) * w
    part = painter.crop(eye.centre - reach, eye.centre + reach)
    draw_eyeball(part, wide, sclera, colour, shade=0.25, pupil=0.40)
    part.lines([wide.upper], (34, 22, 22), 0.045 * w, 0.9, blur=0.008 * w)
    part.lines([wide.lower[1:-1]], (150, 74, 70), 0.035 * w, 0.7, blur=0.012 * w)
    clip = part.mask(wide.contour)
    for corner in (wide.upper[0], wide.upper[-1]):
        part.glow(corner, (0.16 * w, 0.16 * w), (214, 84, 84), 0.45 * amount, clip=clip)


def _draw_swelling(painter: Painter, eye: Eye, amount: float) -> None:
    """Puff the lids: bright rolls with a dark furrow beyond, a little red."""
    w = eye.width
    for margin, side in ((eye.upper, -1), (eye.lower, 1)):
        roll = margin + (0, side * 0.16 * w)
        painter.lines([roll], (1.04, 0.80, 0.78), 0.30 * w, 0.25 + 0.35 * amount, blur=0.06 * w, multiply=True)
        painter.lines([roll], (1.16, 1.10, 1.08), 0.10 * w, 0.4 + 0.5 * amount, blur=0.04 * w, multiply=True)
        furrow = margin[1:-1] + (0, side * (0.27 + 0.05 * amount) * w)
        painter.lines([furrow], (0.55, 0.42, 0.42), 0.045 * w, 0.4 + 0.5 * amount, blur=0.025 * w, multiply=True)
