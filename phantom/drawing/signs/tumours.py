"""Basal cell and squamous cell carcinoma of the lid."""

import numpy as np

from models.photos.eyes import Eye
from phantom.drawing.painter import Painter, mix
from phantom.drawing.signs.sampling import pick, skin_near


def _blob(centre: np.ndarray, radii: tuple[float, float], rough: float, rng: np.random.Generator) -> np.ndarray:
    """Return a closed outline whose radius varies by about `rough`; smooth for small numbers of waves."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wobble = np.ones(40)
    for waves in (2, 3, 5, 8):
        wobble += rough * rng.normal() / np.sqrt(waves) * np.sin(waves * angle + rng.uniform(0, 6.3))
    points = np.stack([np.cos(angle) * radii[0], np.sin(angle) * radii[1]], 1) * np.clip(wobble, 0.55, 1.5)[:, None]
    return (centre + points).astype(np.float32)


def draw_bcc(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Basal cell carcinoma: a pearly nodule on the lower lid margin, rolled rim, vessels, central ulcer."""
    w, skin = eye.width, skin_near(painter, eye)
    radius = (0.10 + 0.19 * amount) * w
    share = 0.5 + eye.nasal * rng.uniform(0.02, 0.22)
    centre = pick(eye.lower, share) + np.array((0, 0.72 * radius), np.float32)
    body = _blob(centre, (radius, 0.92 * radius), 0.05, rng)
    pearl = mix(skin * (1.12, 0.98, 0.97), (250, 206, 200), 0.62)
    painter.glow(centre, (1.05 * radius, 1.0 * radius), (1.02, 0.66, 0.64), 0.55, multiply=True)
    painter.fill(body + (0, 0.14 * radius), (0.50, 0.38, 0.36), 0.55, blur=0.16 * radius, multiply=True)
    painter.fill(body, np.clip(pearl, 0, 255), 0.96, blur=0.05 * radius)
    painter.glow(
        centre + (0.25 * radius, 0.45 * radius),
        (0.5 * radius, 0.36 * radius),
        (0.74, 0.52, 0.54),
        0.65,
        clip=painter.mask(body),
        multiply=True,
    )
    rim = centre + (body - centre) * 0.80
    painter.lines([np.concatenate([rim, rim[:1]])], (255, 236, 230), 0.13 * radius, 0.70, blur=0.06 * radius)
    _draw_vessels(painter, centre, radius, rng)
    painter.glow(centre + (-0.42 * radius, -0.48 * radius), (0.16 * radius, 0.12 * radius), (255, 255, 255), 0.95)
    ulcer = _blob(centre, (0.46 * radius, 0.40 * radius), 0.14, rng)
    painter.fill(ulcer, (118, 26, 28), 0.92, blur=0.05 * radius)
    painter.fill(centre + (ulcer - centre) * 0.60, (52, 14, 14), 0.90, blur=0.06 * radius)


def _draw_vessels(painter: Painter, centre: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    lines = []
    for angle in np.arange(9) * 0.698 + rng.uniform(0, 0.7):
        along = np.linspace(0.50, 1.05, 6)
        bend = angle + np.cumsum(rng.normal(0, 0.10, 6))
        lines.append((centre + radius * np.stack([along * np.cos(bend), along * np.sin(bend)], 1)).astype(np.float32))
    painter.lines(lines, (186, 34, 46), 0.06 * radius, 0.80)


def draw_scc(painter: Painter, eye: Eye, amount: float, rng: np.random.Generator) -> None:
    """Squamous cell carcinoma: an irregular, ulcerated red plaque under scales and crusts."""
    w = eye.width
    radii = ((0.20 + 0.36 * amount) * w, (0.11 + 0.21 * amount) * w)
    share = 0.5 - eye.nasal * rng.uniform(0.10, 0.26)
    centre = pick(eye.lower, share) + np.array((-0.10 * eye.nasal * radii[0], 0.86 * radii[1]), np.float32)
    plaque = _blob(centre, radii, 0.20, rng)
    painter.glow(centre, (1.0 * radii[0], 1.0 * radii[1]), (0.98, 0.55, 0.52), 0.60, multiply=True)
    painter.fill(plaque, (172, 58, 48), 0.93, blur=0.06 * radii[1])
    clip = painter.mask(plaque, 0.04 * radii[1])
    painter.lines([np.concatenate([plaque, plaque[:1]])], (206, 108, 92), 0.13 * radii[1], 0.8, blur=0.06 * radii[1])
    ulcer = _blob(centre + rng.normal(0, 0.08, 2) * radii, (0.50 * radii[0], 0.45 * radii[1]), 0.24, rng)
    painter.fill(ulcer, (86, 22, 18), 0.92, blur=0.05 * radii[1], clip=clip)
    for colour, number, size in (((120, 70, 30), 6, 0.26), ((228, 204, 156), 11, 0.13), ((244, 232, 204), 6, 0.08)):
        for _ in range(number):
            angle, reach = rng.uniform(0, 6.3), rng.uniform(0.35, 0.95)
            place = centre + np.array((np.cos(angle) * radii[0], np.sin(angle) * radii[1])) * reach
            flake = _blob(place, (size * radii[1] * rng.uniform(0.9, 1.9), size * radii[1]), 0.3, rng)
            painter.fill(flake, colour, 0.88, blur=0.03 * radii[1], clip=clip)
