"""The face as a height field, lit by one lamp: soft shading of cheeks, nose, sockets and folds."""

import numpy as np

from phantom.drawing.geometry import Pose, Proportions
from phantom.drawing.identity import Phantom
from phantom.drawing.shot import Shot

GRID = 112  # samples a side; shading is smooth, so it is computed coarsely and enlarged


def shading(p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Return diffuse light (about 1) and gloss (0 to 1) on the coarse grid, float32 [GRID, GRID]."""
    height = _height(p, person, shot, pose)
    dy, dx = np.gradient(height * GRID)
    normal_z = 1 / np.sqrt(1 + dx**2 + dy**2)
    lamp = np.array([shot.light[0], shot.light[1], 1.15])
    lamp = lamp / np.linalg.norm(lamp)
    cosine = (-dx * lamp[0] - dy * lamp[1] + lamp[2]) * normal_z
    halfway = lamp + (0, 0, 1)
    halfway = halfway / np.linalg.norm(halfway)
    gloss = np.clip((-dx * halfway[0] - dy * halfway[1] + halfway[2]) * normal_z, 0, 1) ** 26
    return (0.40 + 0.66 * np.clip(cosine, 0, 1)).astype(np.float32), gloss.astype(np.float32)


def _height(p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> np.ndarray:
    axis = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    middle = (pose.place([0.5, 0.52], -0.5) + 0.5) / pose.canvas
    dome = 1 - ((axis[None, :] - middle[0]) / 0.50) ** 2 - 0.75 * ((axis[:, None] - middle[1]) / 0.62) ** 2
    height = 0.40 * np.sqrt(np.clip(dome, 0.02, 1))
    for x, y, width, tall, amount, depth in _bumps(p, person, shot):
        for side in (-1, 1) if x else (1,):
            centre = (pose.place([0.5 + side * x, y], depth) + 0.5) / pose.canvas
            column = np.exp(-0.5 * ((axis - centre[1]) / tall) ** 2)
            row = np.exp(-0.5 * ((axis - centre[0]) / width) ** 2)
            height += amount * column[:, None] * row[None, :]
    return height


def _bumps(p: Proportions, person: Phantom, shot: Shot) -> list[tuple[float, ...]]:
    """Return (distance from the middle, y, width, height, amount, depth) of each bump or pair of bumps."""
    t, old, child, male = person.traits, person.ageing(), person.childhood, float(person.male)
    socket = 0.030 + 0.012 * t.eye_depth + 0.012 * old - 0.008 * child
    bridge = (0.029 + 0.012 * t.nose_bridge) * (1 - 0.5 * child)
    cheek_y = 0.625 - 0.02 * t.cheekbones - 0.015 * shot.smile
    return [
        (0.0, 0.20, 0.20, 0.09, 0.018 + 0.012 * child, -0.1),
        (0.18, p.brow_y + 0.03, 0.10, 0.022, 0.010 + 0.010 * male * (1 - child), 0.1),
        (0.205, 0.425, 0.085, 0.040, -socket, 0.0),
        (p.eye_x, 0.45, 0.062, 0.036, 0.020, 0.0),
        (0.085, 0.43, 0.022, 0.050, -0.016 - 0.006 * t.nose_bridge, 0.2),
        (0.0, 0.50, 0.033 + 0.006 * t.nose_width, 0.085, bridge, 0.5),
        (0.0, p.nose_y - 0.105, 0.034 + 0.006 * t.nose_width, 0.06, 0.9 * bridge, 0.7),
        (
            0.0,
            p.nose_y - 0.035,
            0.034 + 0.008 * t.nose_tip + 0.006 * t.nose_width,
            0.032,
            0.042 + 0.010 * t.nose_tip,
            1.0,
        ),
        (0.78 * p.nose, p.nose_y - 0.016, 0.020, 0.022, 0.022, 0.75),
        (0.245, cheek_y, 0.085, 0.065, 0.022 + 0.012 * t.cheekbones + 0.010 * shot.smile + 0.008 * child, 0.0),
        (0.27, 0.76, 0.060, 0.070, 0.010 + 0.016 * t.cheek_fullness + 0.012 * child - 0.014 * old, -0.2),
        (p.jaw - 0.05, 0.84, 0.040, 0.040, 0.020 * old, -0.4),
        (0.0, 0.5 * (p.nose_y + p.mouth_y) + 0.005, 0.011, 0.024, -0.009, 0.5),
        (0.0, p.mouth_y, 0.105, 0.050, 0.020, 0.3),
        (p.mouth + 0.018, p.mouth_y + 0.004, 0.020, 0.022, -0.010 - 0.006 * shot.smile, 0.3),
        (0.0, p.mouth_y + p.lower_lip + 0.028, 0.070, 0.016, -0.014, 0.35),
        (0.0, p.chin_y - 0.065, 0.062 + 0.02 * t.chin_width, 0.040, 0.030 + 0.008 * t.chin_length, 0.25),
        (p.eye_x, 0.525, 0.066, 0.014, 0.004 + 0.014 * old, 0.0),
        (p.eye_x + 0.01, 0.556, 0.070, 0.010, -0.003 - 0.010 * old, 0.0),
    ]
