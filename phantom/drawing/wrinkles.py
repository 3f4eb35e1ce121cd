"""Furrows of an ageing face."""

import numpy as np

from phantom.drawing.geometry import Pose, Proportions
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Painter, curve
from phantom.drawing.shot import Shot


def draw_wrinkles(painter: Painter, p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> None:
    """Draw furrows that deepen steadily with age, each a dark line above a bright one."""
    size = pose.canvas
    for lines, depth, alpha, width in _furrows(p, person, shot):
        if alpha > 0.02:
            thick = width * size
            places = [pose.place(line, depth) for line in lines]
            painter.lines(places, (0.60, 0.47, 0.44), thick, alpha, blur=0.6 * width * size, multiply=True)
            below = [place + (0, 0.9 * width * size) for place in places]
            painter.lines(below, (1.16, 1.13, 1.11), thick, 0.7 * alpha, blur=0.5 * width * size, multiply=True)


def _furrows(p: Proportions, person: Phantom, shot: Shot) -> list[tuple[list[np.ndarray], float, float, float]]:
    """Return groups of (unit lines, depth, strength, width)."""
    forehead = _forehead(np.random.default_rng([person.seed, 2]))
    frown = [curve([(0.5 + s * 0.030, p.brow_y + 0.03), (0.5 + s * 0.026, p.brow_y - 0.015)], 3) for s in (-1, 1)]
    smile, a = 0.15 * shot.smile, person.ageing
    return [
        (forehead[1:3], 0.0, 0.62 * a(25, 75) + 0.12 * max(0, shot.brow_raise), 0.008),
        (forehead[::3], 0.0, 0.62 * a(45, 95), 0.008),
        (frown, 0.1, 0.7 * a(30, 85), 0.009),
        (_crows_feet(p), -0.1, 0.70 * a(28, 85) + smile * a(15, 40), 0.006),
        ([_bag(p, s) for s in (-1, 1)], 0.0, 0.06 + 0.64 * a(18, 90), 0.010),
        ([_nasolabial_fold(p, s) for s in (-1, 1)], 0.3, 0.06 + 0.84 * a(15, 80) + smile, 0.013),
        ([_marionette_line(p, s) for s in (-1, 1)], 0.3, 0.8 * a(38, 92), 0.010),
        (_lip_lines(p), 0.35, 0.65 * a(55, 95), 0.006),
    ]


def _forehead(rng: np.random.Generator) -> list[np.ndarray]:
    lines = []
    for level in range(4):
        wave, y = rng.normal(0, 0.004, 4), 0.165 + 0.036 * level + rng.normal(0, 0.003)
        across = zip((-1, -0.4, 0.4, 1), wave, strict=True)
        lines.append(curve([(0.5 + 0.24 * u, y + 0.012 * u * u + w) for u, w in across], 6))
    return lines


def _crows_feet(p: Proportions) -> list[np.ndarray]:
    lines = []
    for s in (-1, 1):
        x = 0.5 + s * (p.eye_x + p.eye)
        for k in (-1, 0, 1, 2):
            middle, end = (x + s * 0.045, 0.448 + 0.026 * k), (x + s * 0.07, 0.45 + 0.040 * k)
            lines.append(curve([(x + s * 0.018, 0.45 + 0.014 * k), middle, end], 5))
    return lines


def _bag(p: Proportions, s: int) -> np.ndarray:
    inner, outer = (0.5 + s * (p.eye_x - 0.085), 0.505), (0.5 + s * (p.eye_x + 0.085), 0.520)
    return curve([inner, (0.5 + s * p.eye_x, 0.548), outer], 6)


def _nasolabial_fold(p: Proportions, s: int) -> np.ndarray:
    points = [
        (0.5 + s * (p.nose + 0.010), p.nose_y - 0.025),
        (0.5 + s * (p.nose + 0.038), p.nose_y + 0.022),
        (0.5 + s * (p.mouth + 0.022), p.mouth_y - 0.040),
        (0.5 + s * (p.mouth + 0.038), p.mouth_y + 0.010),
    ]
    return curve(points, 6)


def _marionette_line(p: Proportions, s: int) -> np.ndarray:
    corner = 0.5 + s * (p.mouth + 0.012)
    middle, end = (corner + s * 0.008, p.mouth_y + 0.05), (corner + s * 0.004, p.mouth_y + 0.10)
    return curve([(corner, p.mouth_y + 0.012), middle, end], 5)


def _lip_lines(p: Proportions) -> list[np.ndarray]:
    top, lines = p.mouth_y - p.upper_lip, []
    for k in np.linspace(-0.8, 0.8, 7):
        ends = [(0.5 + k * p.mouth, top - 0.004), (0.5 + 1.05 * k * p.mouth, top - 0.034)]
        lines.append(np.array(ends, np.float32))
    return lines
