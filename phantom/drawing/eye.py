"""Eyeball, iris and lids; the signs paint with the same iris."""

import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Colour, Painter, curve, mix, palette

_IRIS = [(84, 52, 34), (122, 84, 44), (116, 116, 62), (92, 132, 108), (84, 132, 172), (116, 138, 154)]
SCLERA = np.array((236, 232, 228), np.float32)


def iris_colour(person: Phantom) -> np.ndarray:
    """Return the iris' colour, from brown over green to blue and grey."""
    t = person.traits
    return palette(_IRIS, (0.5 + 0.5 * t.iris_hue) * (1 - 0.4 * max(0.0, t.skin_tone))) * (
        1.0 + 0.22 * t.iris_lightness
    )


def circle(centre: Colour, radius: float, wobble: np.ndarray | None = None) -> np.ndarray:
    """Return a closed circle of 28 points, each radius times its `wobble` where given."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    radii = radius * (np.ones(28) if wobble is None else wobble)
    return (np.asarray(centre) + np.stack([np.cos(angle) * radii, np.sin(angle) * radii], 1)).astype(np.float32)


def draw_iris(
    painter: Painter,
    centre: np.ndarray,
    radius: float,
    colour: Colour,
    clip: np.ndarray,
    *,
    pupil: float = 0.42,
    wobble: np.ndarray | None = None,
    highlight: np.ndarray | None = None,
) -> None:
    """Paint an iris with limbal ring, radial fibres, pupil (a share of the radius) and the light's reflex."""
    colour = np.asarray(colour, np.float32)
    painter.fill(circle(centre, radius), colour * 0.40, blur=0.06 * radius, clip=clip)
    painter.fill(circle(centre, 0.86 * radius), colour, blur=0.10 * radius, clip=clip)
    glow = centre + (0, 0.42 * radius)
    painter.glow(glow, (0.50 * radius, 0.32 * radius), np.minimum(colour * 1.55 + 12, 255), 0.75, clip=clip)
    angles = np.arange(22) * 2.39996
    rays = np.stack([np.cos(angles), np.sin(angles)], 1)
    lines = [np.stack([centre + 0.45 * radius * r, centre + 0.88 * radius * r]).astype(np.float32) for r in rays]
    painter.lines(lines[::2], np.minimum(colour * 1.45 + 15, 255), 0.07 * radius, 0.45, clip=clip)
    painter.lines(lines[1::2], colour * 0.5, 0.07 * radius, 0.45, clip=clip)
    painter.fill(circle(centre, pupil * radius, wobble), (14, 10, 12), blur=0.05 * radius, clip=clip)
    spot = centre + np.array((-0.30, -0.34), np.float32) * radius if highlight is None else highlight
    painter.fill(circle(spot, 0.20 * radius), (255, 255, 255), 0.95, blur=0.05 * radius, clip=clip)
    painter.fill(circle(2 * centre - spot, 0.10 * radius), (255, 255, 255), 0.35, blur=0.05 * radius, clip=clip)


def draw_eyeball(
    part: Painter,
    eye: Eye,
    white: Colour,
    colour: Colour,
    *,
    iris: np.ndarray | None = None,
    pupil: float = 0.42,
    highlight: np.ndarray | None = None,
    shade: float = 0.62,
) -> None:
    """Paint sclera, caruncle and iris into the lids' opening; `iris` moves the iris from its place."""
    w = eye.width
    clip = part.mask(eye.contour, 0.006 * w)
    part.fill(eye.contour, white, blur=0.008 * w)
    for corner in (eye.upper[0], eye.upper[-1]):
        part.glow(corner, (0.14 * w, 0.14 * w), (0.80, 0.66, 0.63), 0.75, clip=clip, multiply=True)
    inner = eye.upper[-1] if eye.nasal > 0 else eye.upper[0]
    part.glow(inner + (-eye.nasal * 0.03 * w, 0.01 * w), (0.045 * w, 0.05 * w), (214, 128, 120), 0.85, clip=clip)
    centre = eye.iris if iris is None else iris
    draw_iris(part, centre, eye.radius, colour, clip, pupil=pupil, highlight=highlight)
    shadow = np.concatenate([eye.upper - (0, 0.06 * w), eye.upper[::-1] + (0, 0.075 * w)])
    part.fill(shadow, (0.50, 0.45, 0.46), shade, blur=0.035 * w, clip=clip, multiply=True)


def draw_eye(painter: Painter, eye: Eye, person: Phantom, skin: np.ndarray, lash: np.ndarray) -> None:
    """Paint one healthy eye between its lids."""
    reach = np.array((0.75, 0.62), np.float32) * eye.width
    part = painter.crop(eye.centre - reach, eye.centre + reach)
    white = mix(SCLERA, (222, 208, 182), 0.75 * person.ageing(25)) + 6 * person.childhood
    draw_eyeball(part, eye, np.minimum(white, 255), iris_colour(person), pupil=0.44 - 0.08 * person.ageing())
    _draw_lids(part, eye, person, skin, lash)


def _draw_lids(part: Painter, eye: Eye, person: Phantom, skin: np.ndarray, lash: np.ndarray) -> None:
    t, w, old = person.traits, eye.width, person.ageing(30)
    part.lines([eye.lower[1:-1] + (0, 0.012 * w)], skin * (0.92, 0.66, 0.64), 0.045 * w, 0.65, blur=0.012 * w)
    part.lines([eye.lower + (0, 0.03 * w)], skin * (0.55, 0.42, 0.40), 0.02 * w, 0.5, blur=0.008 * w)
    gap = 0.105 + 0.035 * t.lid_crease - 0.045 * old
    u = np.linspace(-1, 1, len(eye.upper), dtype=np.float32)
    fold = eye.upper - np.stack([0 * u, gap * w * (1 - 0.55 * u**2)], 1) + (0, 0.01 * w)
    lid = np.concatenate([eye.upper, fold[::-1]])
    adult = (1 - person.childhood) * (0.15 if person.male else 1.0)
    shadow = palette([(150, 110, 96), (128, 92, 112), (108, 98, 122)], 0.5 + 0.5 * t.lip_colour)
    part.fill(lid, shadow, 0.34 * adult * (1 - 0.5 * old), blur=0.02 * w)
    part.fill(lid, (1.08, 1.05, 1.04), 0.5, blur=0.03 * w, multiply=True)
    part.lines([fold], skin * (0.46, 0.34, 0.32), 0.030 * w, 0.55 + 0.25 * max(0.0, t.lid_crease), blur=0.010 * w)
    if old > 0:
        hood = fold - (0, 0.05 * w)
        part.lines([hood, hood - (0, 0.06 * w)], (0.62, 0.5, 0.48), 0.022 * w, 0.6 * old, blur=0.012 * w, multiply=True)
    _draw_lashes(part, eye, person, lash)


def _draw_lashes(part: Painter, eye: Eye, person: Phantom, lash: np.ndarray) -> None:
    w = eye.width
    long = (0.35 if person.male else 1.0) * (0.75 + 0.25 * (1 - person.childhood)) * (1 - 0.45 * person.ageing())
    weight = (0.036 if person.male else 0.060) * (1 - 0.4 * person.ageing())
    part.lines([eye.upper], lash, weight * w, 0.92, blur=0.006 * w)
    u = np.linspace(-0.93, 0.93, 24, dtype=np.float32)
    axis = np.linspace(-1, 1, len(eye.upper))
    roots = np.stack([np.interp(u, axis, eye.upper[:, k]) for k in (0, 1)], 1)
    u = u * eye.nasal  # 1 at the nose
    out = np.stack([-0.55 * eye.nasal * (0.55 - u), -0.55 - 0.45 * (1 - u)], 1) * 0.088 * w * long
    part.lines(
        [curve([r, r + 0.6 * o + (0, 0.012 * w), r + o], 3) for r, o in zip(roots, out, strict=True)],
        lash,
        0.013 * w,
        0.85,
    )
    down = eye.lower[2:-2:2]
    part.lines(
        [np.stack([d + (0, 0.02 * w), d + (-0.012 * eye.nasal * w, 0.02 * w + 0.035 * w * long)]) for d in down],
        lash,
        0.014 * w,
        0.45 * long,
    )
