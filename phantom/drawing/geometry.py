"""Where a face's features lie: proportions from identity, age and gender, moved by expression and pose."""

from dataclasses import dataclass

import numpy as np

from models.photos.eyes import Eye, EyeLandmarks
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import curve
from phantom.drawing.shot import Shot

_CENTRE = np.array([0.5, 0.45], np.float32)


@dataclass(frozen=True)
class Pose:
    """Maps the frontal unit square to canvas pixels, nearer parts moved further by a turn of the head."""

    shot: Shot
    canvas: int

    def place(self, points: object, depth: float = 0.0) -> np.ndarray:
        """Return the px of unit points at a depth: 0 the eyes, 1 the tip of the nose, -1 the ears."""
        local = np.asarray(points, np.float32) - _CENTRE
        turn = np.array([0.042 * self.shot.yaw, 0.03 * self.shot.pitch], np.float32)
        local = local + depth * turn
        angle = np.deg2rad(self.shot.roll)
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        return ((local * self.shot.zoom) @ rotation + _CENTRE) * self.canvas - 0.5


@dataclass(frozen=True)
class Proportions:
    """Places and half sizes in the unit square of the frontal face."""

    temple: float
    cheek: float
    jaw: float
    chin: float
    chin_y: float
    nose_y: float
    nose: float
    mouth_y: float
    mouth: float
    upper_lip: float
    lower_lip: float
    eye_x: float
    eye: float
    lid_up: float
    lid_down: float
    iris: float
    brow_y: float
    hairline: float


def proportions(person: Phantom, shot: Shot) -> Proportions:
    """Derive the proportions: a child's chin and nose are short and its eyes large, an old face sags."""
    return Proportions(**_skull(person, shot), **_nose_and_mouth(person, shot), **_eyes(person, shot))


def _skull(person: Phantom, shot: Shot) -> dict[str, float]:
    t, child, old, male = person.traits, person.childhood, person.ageing(), float(person.male)
    adult = 1 - child
    jaw = 0.318 + 0.02 * t.face_width + 0.03 * t.jaw_width + 0.012 * t.cheek_fullness
    chin_y = 0.985 + 0.022 * t.chin_length + 0.014 * male * adult - 0.085 * child
    return {
        "temple": 0.385 + 0.016 * t.face_width + 0.014 * t.temple_width,
        "cheek": 0.402 + 0.022 * t.face_width + 0.012 * t.cheek_fullness + 0.012 * child - 0.006 * old,
        "jaw": jaw + adult * (0.032 * male - 0.012) + 0.012 * old + 0.018 * child,
        "chin": 0.13 + 0.034 * t.chin_width + 0.03 * male * adult + 0.012 * child,
        "chin_y": chin_y + 0.035 * shot.mouth_open,
        "hairline": 0.125 - 0.045 * t.hairline + 0.015 * child,
    }


def _nose_and_mouth(person: Phantom, shot: Shot) -> dict[str, float]:
    t, child, old, male = person.traits, person.childhood, person.ageing(), float(person.male)
    adult, smile = 1 - child, shot.smile
    nose = 0.071 + 0.016 * t.nose_width + 0.006 * male * adult - 0.010 * child + 0.007 * old
    mouth_y = 0.812 + 0.016 * t.mouth_height + 0.008 * t.nose_length - 0.075 * child + 0.008 * old
    upper_lip = 0.031 + 0.010 * t.upper_lip - 0.004 * male * adult
    lower_lip = 0.045 + 0.012 * t.lower_lip - 0.005 * male * adult
    return {
        "nose_y": 0.678 + 0.022 * t.nose_length - 0.052 * child + 0.020 * old,
        "nose": nose + 0.005 * smile,
        "mouth_y": mouth_y - 0.005 * smile,
        "mouth": 0.135 + 0.022 * t.mouth_width + 0.005 * male - 0.026 * child + 0.026 * smile,
        "upper_lip": upper_lip * (1 - 0.52 * old) * (1 - 0.2 * smile),
        "lower_lip": lower_lip * (1 - 0.42 * old) * (1 - 0.15 * smile),
    }


def _eyes(person: Phantom, shot: Shot) -> dict[str, float]:
    t, child, old, smile = person.traits, person.childhood, person.ageing(), shot.smile
    lid_up = 0.057 + 0.007 * t.eye_opening + 0.004 * t.eye_size + 0.009 * child - 0.010 * old
    brow_y = 0.312 - 0.020 * t.brow_height + float(person.male) * (1 - child) * 0.014 - 0.022 * shot.brow_raise
    return {
        "eye_x": 0.2 + 0.009 * t.eye_spacing,
        "eye": 0.109 + 0.008 * t.eye_size + 0.008 * child - 0.003 * old,
        "lid_up": lid_up - 0.003 * smile,
        "lid_down": 0.041 + 0.004 * t.eye_opening + 0.005 * child - 0.007 * smile + 0.003 * old,
        "iris": 0.0505 + 0.0025 * t.eye_size + 0.004 * child,
        "brow_y": brow_y + 0.014 * child + 0.008 * old,
    }


def face_outline(p: Proportions, person: Phantom) -> np.ndarray:
    """Return the closed outline of the face, crown included, in the unit square."""
    t, sag = person.traits, person.ageing(35)
    bones = 0.008 * t.cheekbones
    half = [
        (0.0, -0.12),
        (0.24, -0.07),
        (p.temple, 0.12),
        (p.temple + 0.012, 0.32),
        (p.cheek + bones, 0.50),
        (0.55 * p.cheek + 0.45 * p.jaw + 0.010 - 0.6 * bones, 0.66),
        (p.jaw, 0.80 + 0.02 * sag),
        (0.55 * p.jaw + 0.45 * p.chin, 0.90 + 0.01 * sag - 0.04 * person.childhood),
        (p.chin, p.chin_y - 0.028),
        (0.0, p.chin_y),
    ]
    right = np.array(half, np.float32)
    left = right[-2:0:-1] * (-1, 1)
    return curve(np.concatenate([right, left]) + (0.5, 0), 6, closed=True)


def eye_landmarks(p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> EyeLandmarks:
    """Return both eyes in canvas px."""
    return EyeLandmarks(*(_eye(p, person, shot, pose, side) for side in (-1, 1)))


def _eye(p: Proportions, person: Phantom, shot: Shot, pose: Pose, side: int) -> Eye:
    """Build one eye in its own frame (u from the nose, -1, to the temple, 1), then place it."""
    t, old = person.traits, person.ageing(30)
    half = p.eye * (1 - 0.05 * side * shot.yaw)
    tilt = 0.007 + 0.011 * t.eye_tilt - 0.010 * old
    u = np.linspace(-1, 1, 17, dtype=np.float32)
    base = -tilt * u
    peak = np.clip(1 - np.abs((u + 0.08) / (1.0 + 0.08 * np.sign(u + 0.08))) ** 2.3, 0, 1) ** 0.85
    trough = np.clip(1 - np.abs(u - 0.15) ** 2.4 / (1.0 - 0.15 * np.sign(u - 0.15)) ** 2.4, 0, 1) ** 0.9
    hood = 0.35 * old * np.clip(u, 0, 1) * p.lid_up
    upper = np.stack([u * half, base - p.lid_up * peak + hood * (peak > 0)], 1)
    lower = np.stack([u * half, base + p.lid_down * trough], 1)
    upper[[0, -1]] = lower[[0, -1]] = np.stack([u[[0, -1]] * half, base[[0, -1]]], 1)
    iris = np.array([side * shot.gaze[0] * 0.08, -0.009 + shot.gaze[1] * 0.05], np.float32)
    brow = _brow(p, person, half)
    frame, origin = np.array([side, 1], np.float32), np.array([0.5 + side * p.eye_x, 0.45], np.float32)
    order = slice(None, None, side)
    upper_px, lower_px = (pose.place(points * frame + origin)[order] for points in (upper, lower))
    radius = p.iris * shot.zoom * pose.canvas
    brow_px = pose.place(brow * frame + origin, 0.1)[order]
    return Eye(upper_px, lower_px, pose.place(iris * frame + origin), radius, brow_px, -side)


def _brow(p: Proportions, person: Phantom, half: float) -> np.ndarray:
    t = person.traits
    adult = 1 - person.childhood
    arch = 0.018 + 0.014 * t.brow_arch - 0.010 * adult * float(person.male) - 0.004 * person.ageing()
    length = 1.2 + 0.14 * t.brow_length
    y = p.brow_y - 0.45
    points = [
        (-1.05, y + 0.014),
        (-0.55, y + 0.002),
        (0.0, y - 0.6 * arch),
        (0.5, y - arch),
        (0.5 + 0.5 * (length - 0.5), y - 0.45 * arch + 0.006),
        (length, y + 0.026 + 0.010 * person.ageing(40)),
    ]
    return curve(np.array(points, np.float32) * (half, 1), 4)


def five_points(eyes: EyeLandmarks, p: Proportions, pose: Pose) -> np.ndarray:
    """Return eyes, nose and mouth corners in px, the viewer's left first (insightface's order)."""
    nose = pose.place([0.5, p.nose_y - 0.035], 1.0)
    mouth = [pose.place([0.5 + s * p.mouth, p.mouth_y], 0.35) for s in (-1, 1)]
    return np.stack([eyes.left.centre, eyes.right.centre, nose, *mouth]).astype(np.float32)
