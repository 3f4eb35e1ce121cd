"""Red eyes: conjunctivitis reddens the whole sclera, uveitis only the ring around the limbus."""

import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.eye import circle, draw_iris
from phantom.drawing.painter import Painter, mix
from phantom.drawing.signs.sampling import eye_colours, pick


def _without_iris(part: Painter, eye: Eye, blur: float) -> np.ndarray:
    return part.mask(eye.contour, 0.008 * eye.width) * (1 - part.mask(circle(eye.iris, 1.0 * eye.radius), blur))


def draw_conjunctivitis(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Conjunctivitis: diffuse redness up to the puffy lids, dilated vessels, discharge."""
    w = eye.width
    reach = np.array((0.95, 0.85), np.float32) * w
    part = painter.crop(eye.centre - reach, eye.centre + reach)
    clip = _without_iris(part, eye, 0.05 * eye.radius)
    for margin, side in ((eye.upper, -1), (eye.lower, 1)):
        puff = margin + (0, side * 0.10 * w)
        part.lines(
            [puff],
            (0.98, 0.60, 0.60),
            0.24 * w,
            0.25 + 0.55 * amount,
            blur=0.07 * w,
            clip=1 - part.mask(eye.contour),
            multiply=True,
        )
    part.fill(eye.contour, (226, 62, 62), 0.22 + 0.52 * amount, clip=clip)
    part.lines(_vessels(eye, 10 + int(16 * amount), rng), (168, 14, 24), 0.020 * w, 0.35 + 0.5 * amount, clip=clip)
    part.lines([eye.lower[1:-1] + (0, 0.012 * w)], (206, 52, 54), 0.055 * w, 0.35 + 0.5 * amount, blur=0.015 * w)
    _draw_discharge(part, eye, amount, rng)


def _vessels(eye: Eye, number: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return wavy lines from the lids towards the limbus."""
    outer = eye.contour[rng.integers(0, len(eye.contour), number)]
    goal = eye.iris + (outer - eye.iris) * rng.uniform(0.25, 0.5, (number, 1))
    along = np.linspace(0, 1, 6)[None, :, None]
    lines = outer[:, None] * (1 - along) + goal[:, None] * along
    lines = lines + np.cumsum(rng.normal(0, 0.010 * eye.width, (number, 6, 2)), axis=1)
    return list(lines.astype(np.float32))


def _draw_discharge(part: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Lay yellow-white clots into the inner corner and along the lower lashes."""
    w = eye.width
    inner = eye.upper[-1] if eye.nasal > 0 else eye.upper[0]
    clots = [(inner + (-0.02 * eye.nasal * w, 0.03 * w), 0.050 + 0.050 * amount)]
    for _ in range(round(1 + 6 * amount)):
        place = pick(eye.lower, rng.uniform(0.1, 0.9)) + (0, rng.uniform(0.0, 0.05) * w)
        clots.append((place, rng.uniform(0.025, 0.042) * (0.6 + 0.7 * amount)))
    for place, radius in clots:
        part.fill(
            circle(place + (0, 0.02 * w), 1.15 * radius * w), (0.62, 0.50, 0.40), 0.5, blur=0.02 * w, multiply=True
        )
        part.fill(circle(place, radius * w), (240, 224, 142), 0.92, blur=0.012 * w)
        part.glow(place - 0.3 * radius * w, (0.3 * radius * w, 0.3 * radius * w), (255, 252, 226), 0.9)


def draw_uveitis(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Uveitis: a violet flush around the limbus, white sclera beyond, small ragged pupil, hypopyon."""
    w, r = eye.width, eye.radius
    reach = np.array((0.75, 0.62), np.float32) * w
    part = painter.crop(eye.centre - reach, eye.centre + reach)
    _, colour = eye_colours(painter, eye)
    clip = part.mask(eye.contour, 0.008 * w)
    ring = (1.28 + 0.20 * amount) * r
    part.fill(circle(eye.iris, ring), (168, 20, 104), 0.60 + 0.37 * amount, blur=(0.08 + 0.04 * amount) * r, clip=clip)
    angles = rng.uniform(0, 6.3, 24)
    rays = np.stack([np.cos(angles), np.sin(angles)], 1)[:, None] * r
    lines = eye.iris + rays * np.array((1.0, 1.28 + 0.24 * amount))[None, :, None]
    part.lines(list(lines.astype(np.float32)), (128, 8, 72), 0.08 * r, 0.3 + 0.5 * amount, clip=clip)
    wobble = 1 + (0.12 + 0.26 * amount) * np.sin(np.linspace(0, 2 * np.pi, 28) * rng.integers(3, 6) + rng.uniform(0, 6))
    muddy = mix(colour, (104, 90, 74), 0.55 * amount)
    draw_iris(part, eye.iris, r, muddy, clip, pupil=0.36 - 0.15 * amount, wobble=wobble)
    if amount > 0.5:
        _draw_hypopyon(part, eye, amount, clip)


def _draw_hypopyon(part: Painter, eye: Eye, amount: float, clip: np.ndarray) -> None:
    """Let white cells settle in the lower chamber, with a level surface."""
    r, level = eye.radius, 0.74 - 0.32 * amount
    start = np.arcsin(level)
    angle = np.linspace(start, np.pi - start, 14)
    points = eye.iris + 0.95 * r * np.stack([np.cos(angle), np.sin(angle)], 1)
    part.fill(points.astype(np.float32), (232, 220, 178), 0.92, blur=0.05 * r, clip=clip)
