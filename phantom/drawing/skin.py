"""Skin: its colour, light, blush, freckles, moles and spots of age."""

import cv2
import numpy as np

from phantom.drawing.geometry import Pose, Proportions, face_outline
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Painter, curve, mix, palette
from phantom.drawing.relief import shading
from phantom.drawing.shot import Shot

_TONES = [(248, 219, 200), (240, 202, 176), (226, 178, 146), (196, 142, 106), (150, 101, 74), (104, 68, 50)]


def skin_colour(person: Phantom) -> np.ndarray:
    """Return the skin's colour in full light; it pales and yellows with age."""
    t, old = person.traits, person.ageing()
    colour = palette(_TONES, 0.5 + 0.5 * t.skin_tone)
    colour = colour + np.array([5, -3, -9]) * t.skin_undertone + np.array([2, -7, -6]) * t.skin_redness
    grey = float(colour.mean())
    colour = mix(colour, (grey * 1.06, grey, grey * 0.90), 0.25 * old)
    return mix(colour, colour * (1.03, 0.96, 0.96), person.childhood).astype(np.float32)


def draw_skin(painter: Painter, p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> None:
    """Paint ears, neck and the lit face."""
    size, base = pose.canvas, skin_colour(person)
    light, gloss = (cv2.resize(x, (size, size), interpolation=cv2.INTER_CUBIC) for x in shading(p, person, shot, pose))
    lit = base * np.stack([light**0.82, light**1.05, light**1.18], -1)
    shine = (0.16 + 0.05 * person.traits.skin_redness - 0.10 * person.ageing(10)) * np.clip(gloss, 0, 1)
    lit += (255 - lit) * shine[..., None]
    _draw_neck(painter, p, base, pose)
    _draw_ears(painter, p, person, base, pose)
    outline = pose.place(face_outline(p, person), -0.25)
    painter.fill(outline, np.clip(lit, 0, 255), blur=0.0045 * size)
    _draw_complexion(painter, p, person, pose)
    _draw_marks(painter, p, person, base, pose)


def _draw_neck(painter: Painter, p: Proportions, base: np.ndarray, pose: Pose) -> None:
    size = pose.canvas
    neck = curve(
        [(0.5 - 0.8 * p.jaw, 0.78), (0.5 + 0.8 * p.jaw, 0.78), (0.5 + 0.78 * p.jaw, 1.2), (0.5 - 0.78 * p.jaw, 1.2)],
        4,
        closed=True,
    )
    painter.fill(pose.place(neck, -0.6), base * (0.66, 0.58, 0.54), blur=0.01 * size)


def _draw_ears(painter: Painter, p: Proportions, person: Phantom, base: np.ndarray, pose: Pose) -> None:
    size = pose.canvas
    tall = 0.115 * (1 + 0.22 * person.traits.ear_size + 0.12 * person.ageing(40))
    for side in (-1, 1):
        x = 0.5 + side * (p.cheek + 0.004)
        rim = np.array(
            [(-0.02, -0.9), (0.03, -1.0), (0.055, -0.6), (0.045, 0.1), (0.025, 0.75), (0.0, 1.0), (-0.03, 0.8)]
        ) * (side * (1 + 0.4 * person.traits.ear_size), tall)
        outer = pose.place(curve(rim + (x, 0.50), 5, closed=True), -1.0)
        painter.fill(outer, base * (0.88, 0.78, 0.74), blur=0.004 * size)
        inner = pose.place(curve(rim * (0.55, 0.62) + (x + side * 0.004, 0.495), 5, closed=True), -1.0)
        painter.fill(inner, base * (0.70, 0.54, 0.50), 0.7, blur=0.010 * size)


def _draw_complexion(painter: Painter, p: Proportions, person: Phantom, pose: Pose) -> None:
    """Blush of cheeks, nose and chin; dusk around the eyes."""
    t, size = person.traits, pose.canvas
    rosy = (
        0.13 + 0.08 * t.skin_redness + 0.16 * person.childhood + (0.0 if person.male else 0.07) - 0.08 * person.ageing()
    )
    for side in (-1, 1):
        cheek = pose.place([0.5 + side * 0.27, 0.64], 0.0)
        painter.glow(cheek, (0.085 * size, 0.06 * size), (1.04, 0.70, 0.68), rosy * 1.45, multiply=True)
        socket = pose.place([0.5 + side * (p.eye_x - 0.01), 0.43], 0.0)
        dusk = 0.20 + 0.12 * t.eye_depth + 0.15 * person.ageing() - 0.1 * person.childhood
        painter.glow(socket, (0.095 * size, 0.06 * size), (0.72, 0.56, 0.55), dusk, multiply=True)
    painter.glow(
        pose.place([0.5, p.nose_y - 0.03], 1.0),
        (0.05 * size, 0.035 * size),
        (1.03, 0.75, 0.72),
        0.25 + 0.18 * t.skin_redness,
        multiply=True,
    )


def _draw_marks(painter: Painter, p: Proportions, person: Phantom, base: np.ndarray, pose: Pose) -> None:
    """Freckles, two moles at the places the identity names, and spots that gather with age."""
    t, size, rng = person.traits, pose.canvas, np.random.default_rng([person.seed, 1])
    places = rng.normal((0.0, 0.60), (0.17, 0.055), (90, 2)) + (0.5, 0)
    places[:, 1] += 0.25 * (places[:, 0] - 0.5) ** 2
    shown = places[: int(90 * max(0.0, t.freckles))]
    for group, radius in ((shown[::2], 0.0042), (shown[1::2], 0.0060)):
        dots = pose.place(group, 0.1)
        painter.lines(
            [np.stack([d, d + 0.01]) for d in dots],
            base * (0.68, 0.52, 0.42),
            2 * radius * size,
            0.50,
            blur=0.35 * radius * size,
        )
    spots = rng.uniform((-0.34, 0.12), (0.34, 0.90), (26, 2)) + (0.5, 0)
    sizes = rng.uniform(0.006, 0.014, 26)
    for spot, radius in zip(spots[: int(26 * person.ageing(45, 95))], sizes, strict=False):
        painter.glow(pose.place(spot, 0.0), (radius * size, 0.8 * radius * size), base * (0.64, 0.50, 0.42), 0.55)
    moles = ((t.mole_x, t.mole_y, 0.009 + 0.006 * t.mole_size), (t.second_mole_x, t.second_mole_y, 0.0075))
    for x, y, radius in moles:
        place = pose.place([0.5 + 0.30 * x, 0.70 + 0.20 * y], 0.1)
        painter.glow(place, (radius * size, radius * size), base * (0.34, 0.24, 0.22), 0.95)
