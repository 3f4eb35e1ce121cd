"""A man's beard, from its shadow to full growth."""

import cv2
import numpy as np

from phantom.drawing.geometry import Pose, Proportions, face_outline
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Painter, curve, mix
from phantom.drawing.shot import Shot


def draw_beard(painter: Painter, p: Proportions, person: Phantom, shot: Shot, hair: np.ndarray, pose: Pose) -> None:
    """Shade a man's jaw and lip: a shadow from puberty on, a full beard where the trait asks for one."""
    grown = float(np.clip((person.age - 13) / 9, 0, 1))
    if not person.male or grown == 0:
        return
    t, size, rng = person.traits, pose.canvas, np.random.default_rng([person.seed, 3, shot.seed])
    full = float(np.clip(t.beard * 1.6 - 0.3, 0, 1))
    amount = grown * (0.26 + 0.07 * t.beard + 0.05 * shot.stubble + 0.45 * full)
    grain = rng.uniform(0.6, 1.25, (96, 96)).astype(np.float32)
    grain = cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)
    mask = _region(painter, p, person, pose)
    tint = mix((70, 66, 70), hair, 0.35 + 0.6 * full)
    painter.pixels += (tint - painter.pixels) * np.clip(mask * grain * amount, 0, 0.92)[..., None]


def _region(painter: Painter, p: Proportions, person: Phantom, pose: Pose) -> np.ndarray:
    """Return the soft mask of cheeks, jaw and upper lip, without the lips."""
    left = [
        (0.5 - p.cheek + 0.012, 0.60),
        (0.5 - p.jaw + 0.06, 0.735),
        (0.5 - p.mouth - 0.045, p.mouth_y - 0.045),
        (0.5 - 0.05, p.nose_y + 0.035),
    ]
    upper = [*left, *[(1 - x, y) for x, y in left[::-1]]]
    right = [(0.5 + p.cheek, 0.66), (0.5 + p.jaw + 0.02, 0.86), (0.5 + p.chin, p.chin_y + 0.02)]
    lower = [*right, (0.5 - p.chin, p.chin_y + 0.02), (0.5 - p.jaw - 0.02, 0.86), (0.5 - p.cheek, 0.66)]
    region = pose.place(curve(upper + lower, 5, closed=True), 0.05)
    face = painter.mask(pose.place(face_outline(p, person), -0.25))
    y = p.mouth_y
    around = [(0.5 - p.mouth, y), (0.5, y - p.upper_lip), (0.5 + p.mouth, y), (0.5, y + p.lower_lip)]
    lips = pose.place(curve(around, 5, closed=True), 0.35)
    mask = painter.mask(region, 0.022 * pose.canvas) * face
    return mask * (1 - painter.mask(lips, 0.012 * pose.canvas))
