"""Brows, nose and mouth."""

import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.geometry import Pose, Proportions
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Painter, curve, mix, palette
from phantom.drawing.shot import Shot


def draw_brow(painter: Painter, eye: Eye, person: Phantom, hair: np.ndarray) -> None:
    """Paint a brow of single hairs over a soft base; thicker in men, sparse in childhood, grey with age."""
    t, old, w = person.traits, person.ageing(35), eye.width
    adult = 1 - person.childhood
    rng = np.random.default_rng([person.seed, 4, eye.nasal + 1])
    colour = mix(hair, (40, 30, 26), 0.45 + 0.25 * t.brow_darkness)
    colour = mix(colour, (200, 198, 194), 0.75 * person.ageing(45, 92))
    thick = (0.085 + 0.035 * t.brow_thickness + 0.055 * float(person.male) * adult - 0.02 * person.childhood) * w
    line = eye.brow if eye.nasal < 0 else eye.brow[::-1]  # from the nose to the temple
    taper = np.interp(np.linspace(0, 1, len(line)), (0, 0.15, 0.55, 1), (0.75, 1.0, 0.85, 0.12))[:, None]
    up = np.array((0, -0.5 * thick), np.float32) * taper
    strength = (0.78 + 0.2 * t.brow_darkness) * (0.55 + 0.45 * adult) * (1 - 0.25 * old)
    painter.fill(np.concatenate([line + up, (line - up)[::-1]]), colour, 0.74 * strength, blur=0.022 * w)
    spot = rng.uniform(0, 1, 64)
    index = spot * (len(line) - 1)
    low = np.minimum(index.astype(int), len(line) - 2)
    ahead = line[low + 1] - line[low]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-6
    root = line[low] + (index - low)[:, None] * (line[low + 1] - line[low])
    root = root - up[low] * rng.uniform(-0.8, 1.0, 64)[:, None]
    lift = np.interp(spot, (0, 0.4, 1), (-0.8, -0.35, 0.3))
    tip = root + (ahead + np.stack([0 * lift, lift], 1)) * (0.075 * w * rng.uniform(0.7, 1.2, 64))[:, None]
    lines = np.stack([root, tip], 1).astype(np.float32)
    painter.lines(lines[::2], colour * 0.85, 0.018 * w, 0.55 * strength)
    painter.lines(lines[1::2], colour * 1.12, 0.018 * w, 0.5 * strength)


def draw_nose(painter: Painter, p: Proportions, person: Phantom, skin: np.ndarray, pose: Pose) -> None:
    """Paint nostrils, wings and the shade below the tip; the relief has shaped the rest."""
    t, size = person.traits, pose.canvas
    wing, y = p.nose, p.nose_y
    under = curve(
        [
            (0.5 - 0.9 * wing, y - 0.004),
            (0.5 - 0.4 * wing, y + 0.006),
            (0.5, y + 0.012),
            (0.5 + 0.4 * wing, y + 0.006),
            (0.5 + 0.9 * wing, y - 0.004),
        ],
        6,
    )
    painter.lines([pose.place(under, 0.85)], (0.66, 0.50, 0.48), 0.018 * size, 0.60, blur=0.009 * size, multiply=True)
    wide = 0.017 + 0.006 * t.nostrils + 0.003 * t.nose_width
    for s in (-1, 1):
        hole = [
            (0.5 + s * (0.20 * wing), y - 0.002),
            (0.5 + s * (0.20 * wing + wide), y - 0.009 - 0.004 * t.nostrils),
            (0.5 + s * (0.20 * wing + 2 * wide), y),
            (0.5 + s * (0.20 * wing + wide), y + 0.005),
        ]
        painter.fill(pose.place(curve(hole, 6, closed=True), 0.85), skin * (0.30, 0.20, 0.19), 0.88, blur=0.0035 * size)
        side = curve(
            [
                (0.5 + s * 0.80 * wing, y - 0.042),
                (0.5 + s * 1.03 * wing, y - 0.018),
                (0.5 + s * 0.92 * wing, y + 0.004),
            ],
            6,
        )
        painter.lines(
            [pose.place(side, 0.75)], (0.62, 0.46, 0.44), 0.009 * size, 0.65, blur=0.004 * size, multiply=True
        )


def draw_mouth(painter: Painter, p: Proportions, person: Phantom, shot: Shot, skin: np.ndarray, pose: Pose) -> None:
    """Paint lips, and teeth where the mouth is open."""
    t, size, old, w = person.traits, pose.canvas, person.ageing(), p.mouth
    gap, y = 0.050 * shot.mouth_open, p.mouth_y
    low = p.lower_lip + gap + 0.006
    lift = 0.006 * t.mouth_corners + 0.030 * shot.smile - 0.012 * old - 0.004
    corner = [(0.5 + s * w, y - lift) for s in (-1, 1)]
    lines = _lip_borders(p, corner, lift, gap, low)
    top, seam, parted, bottom = (pose.place(curve(line, 5), 0.35) for line in lines)
    colour = lip_colour(person, skin)
    if gap:
        _draw_opening(painter, np.concatenate([seam, parted[::-1]]), seam, size, gap)
    painter.fill(np.concatenate([top, seam[::-1]]), colour * 0.84, 0.88, blur=0.004 * size)
    painter.fill(np.concatenate([parted, bottom[::-1]]), colour, 0.84, blur=0.005 * size)
    shine = pose.place([0.5, y + 0.55 * low + 0.5 * gap], 0.35)
    painter.glow(shine, (0.32 * w * size, 0.22 * p.lower_lip * size), (255, 236, 230), 0.14 if person.male else 0.30)
    painter.lines([seam], colour * (0.42, 0.30, 0.32), 0.008 * size, 0.85, blur=0.003 * size)
    for point in corner:
        painter.glow(pose.place(point, 0.3), (0.012 * size, 0.010 * size), (0.6, 0.48, 0.48), 0.55, multiply=True)


def _lip_borders(
    p: Proportions, corner: list[tuple[float, float]], lift: float, gap: float, low: float
) -> tuple[list[tuple[float, float]], ...]:
    """Return upper border, upper seam, lower seam and lower border, each from corner to corner."""
    w, y, bow = p.mouth, p.mouth_y, p.upper_lip
    top = [
        (0.5 - 0.52 * w, y - 0.72 * bow - 0.3 * lift),
        (0.5 - 0.17 * w, y - bow),
        (0.5, y - 0.78 * bow),
        (0.5 + 0.17 * w, y - bow),
        (0.5 + 0.52 * w, y - 0.72 * bow - 0.3 * lift),
    ]
    seam = [
        (0.5 - 0.45 * w, y + 0.004),
        (0.5 - 0.12 * w, y + 0.006),
        (0.5, y + 0.010),
        (0.5 + 0.12 * w, y + 0.006),
        (0.5 + 0.45 * w, y + 0.004),
    ]
    bottom = [
        (0.5 - 0.60 * w, y + 0.62 * low),
        (0.5 - 0.25 * w, y + low),
        (0.5, y + 1.04 * low),
        (0.5 + 0.25 * w, y + low),
        (0.5 + 0.60 * w, y + 0.62 * low),
    ]
    top, seam, bottom = ([corner[0], *line, corner[1]] for line in (top, seam, bottom))
    parted = [(x, v + gap * max(0.0, 1 - ((x - 0.5) / w) ** 2)) for x, v in seam]
    return top, seam, parted, bottom


def _draw_opening(painter: Painter, opening: np.ndarray, seam: np.ndarray, size: int, gap: float) -> None:
    painter.fill(opening, (70, 28, 30), blur=0.003 * size)
    clip = painter.mask(opening)
    teeth = np.concatenate([seam[5:-5], seam[5:-5][::-1] + (0, 0.60 * gap * size)])
    painter.fill(teeth, (240, 234, 222), 0.95, blur=0.004 * size, clip=clip)


def lip_colour(person: Phantom, skin: np.ndarray) -> np.ndarray:
    """Return the lips' colour: a tint of the skin, fuller in women, pale with age."""
    t, old = person.traits, person.ageing()
    tint = palette([(204, 104, 78), (200, 88, 96), (176, 52, 96)], 0.5 + 0.5 * t.lip_colour)
    made_up = 0.62 if not person.male else 0.46
    colour = mix(skin * (0.84, 0.62, 0.60), tint, made_up * (0.6 + 0.4 * (1 - person.childhood)))
    colour = mix(colour, skin * (0.82, 0.66, 0.63), 0.70 * old)
    return np.clip(colour, 0, 255)
