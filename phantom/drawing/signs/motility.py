"""Strabismus: one eye looks elsewhere."""

from dataclasses import replace

import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.eye import draw_eyeball
from phantom.drawing.painter import Painter
from phantom.drawing.signs.sampling import eye_colours


def draw_strabismus(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Strabismus: the eye turns in or out, the light's reflex stays behind and so leaves the pupil."""
    w = eye.width
    inward = eye.nasal if rng.random() < 0.6 else -eye.nasal
    shift = np.array((inward * (0.11 + 0.17 * amount) * w, rng.normal(0, 0.015) * w), np.float32)
    sclera, colour = eye_colours(painter, eye)
    opening = replace(eye, upper=eye.upper + (0, 0.028 * w), lower=eye.lower - (0, 0.004 * w))
    reach = np.array((0.75, 0.62), np.float32) * w
    part = painter.crop(eye.centre - reach, eye.centre + reach)
    reflex = eye.iris + shift + np.array((-0.28, -0.32), np.float32) * eye.radius - 0.45 * shift
    draw_eyeball(part, opening, sclera, colour, iris=eye.iris + shift, highlight=reflex, shade=0.35)
