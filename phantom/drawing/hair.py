"""Hair: long beside a woman's face, short above a man's; it greys and thins with age."""

import numpy as np

from phantom.drawing.geometry import Pose, Proportions
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Painter, curve, mix, palette
from phantom.drawing.shot import Shot

_TONES = [(26, 21, 22), (54, 36, 28), (94, 62, 40), (146, 104, 62), (204, 168, 108)]
_GREY = (184, 182, 182)


def hair_colour(person: Phantom) -> np.ndarray:
    """Return the hair's colour; the grey share grows from 30 to 85 years."""
    t = person.traits
    colour = palette(_TONES, (0.5 + 0.5 * t.hair_lightness) * (1 - 0.45 * max(0.0, t.skin_tone)))
    red = max(0.0, t.hair_redness) * (0.35 + 0.3 * t.hair_lightness)
    colour = mix(colour, (166, 74, 34), red)
    return mix(colour, _GREY, 0.95 * person.ageing(30, 85))


def bald(person: Phantom) -> float:
    """How far a man's hair has gone, 0 to 1: by age, and sooner with a high hairline."""
    return float(person.male) * float(
        np.clip(1.15 * person.ageing(30, 95) + 0.45 * person.traits.hairline - 0.35, 0, 1)
    )


def draw_hair_behind(painter: Painter, p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> None:
    """Paint the hair that hangs behind a woman's face."""
    if person.male:
        return
    colour, size = hair_colour(person), pose.canvas
    wide = p.cheek + 0.055 + 0.030 * person.traits.hair_volume
    end = _end(person)
    half = [
        (0.0, -0.2),
        (0.3, -0.2),
        (wide, 0.10),
        (wide + 0.02, 0.45),
        (wide + 0.01, 0.75),
        (wide, end - 0.08),
        (wide - 0.03, end - 0.01),
        (wide - 0.10, end),
        (0.1, end),
    ]
    right = np.array(half, np.float32)
    outline = np.concatenate([right, (right * (-1, 1))[::-1]]) + (0.5, 0)
    painter.fill(pose.place(curve(outline, 6, closed=True), -0.8), colour * 0.55, blur=0.008 * size)


def _end(person: Phantom) -> float:
    """Return how far down the hair hangs: a man's to his ears."""
    if person.male:
        return 0.46 + 0.05 * person.traits.hair_length
    return 0.98 + 0.26 * person.traits.hair_length - 0.12 * person.ageing(40)


def draw_hair(painter: Painter, p: Proportions, person: Phantom, shot: Shot, pose: Pose) -> None:
    """Paint the hair before the face: a cap above the hairline, and curtains beside the face of a woman."""
    inner = _hairline(p, person, shot)
    outer = _contour(p, person)
    colour, size = hair_colour(person), pose.canvas
    gone = bald(person)
    line, edge = pose.place(curve(inner, 8), -0.3), pose.place(curve(outer, 8), -0.5)
    outline = np.concatenate([line, edge[::-1]])
    shade = pose.place(curve(inner + (0, 0.018), 8), -0.2)
    painter.fill(
        np.concatenate([shade, edge[::-1]]), (0.62, 0.52, 0.50), 0.5 * (1 - gone), blur=0.020 * size, multiply=True
    )
    painter.fill(outline, colour * 0.80, (1 - gone) ** 0.6, blur=0.006 * size)
    _draw_gloss(painter, line, edge, colour, size, 1 - gone, painter.mask(outline))
    _draw_strands(painter, line, edge, person, shot, colour, size, 1 - 0.93 * gone)
    if gone > 0 and person.male:
        _draw_fringe(painter, p, person, colour, pose, gone)


def _hairline(p: Proportions, person: Phantom, shot: Shot) -> np.ndarray:
    """Return the inner border, nine unit points from the left end over the forehead to the right end."""
    t, old = person.traits, person.ageing(35)
    recede = 0.10 * bald(person)
    top = p.hairline - recede
    part = 0.5 + 0.17 * t.hair_part + 0.02 * shot.hair_shift
    side, down = p.temple - 0.035, _end(person)
    fringe = np.clip(t.hair_fringe, 0, 1) * (0.10 if person.male else 0.16) * (1 - 0.7 * old) * (1 - bald(person))
    sweep = 0.035 * t.hair_fringe * (1 if t.hair_part > 0 else -1) + 0.012 * shot.hair_shift
    cheek = p.cheek - (0.018 if not person.male else -0.012) + 0.012 * shot.hair_shift * float(not person.male)
    corner = top + 0.025 - (0.7 * recede if person.male else 0)
    return np.array(
        [
            (0.5 - cheek, down),
            (0.5 - cheek + 0.003, 0.60 if not person.male else 0.40),
            (0.5 - side - 0.008, 0.32),
            (0.5 - 0.26, corner + 0.045 + 0.6 * fringe - sweep),
            (part, top + fringe),
            (0.5 + 0.26, corner + 0.045 + 0.6 * fringe + sweep),
            (0.5 + side + 0.008, 0.32),
            (0.5 + cheek - 0.003, 0.60 if not person.male else 0.40),
            (0.5 + cheek, down),
        ],
        np.float32,
    )


def _contour(p: Proportions, person: Phantom) -> np.ndarray:
    """Return the outer border, point by point opposite to the hairline."""
    t = person.traits
    puff = 0.030 * t.hair_volume
    wide = p.cheek + (0.055 + puff if not person.male else 0.028 + 0.5 * puff)
    down = _end(person)
    return np.array(
        [
            (0.5 - wide, down),
            (0.5 - wide - 0.01, 0.60 if not person.male else 0.38),
            (0.5 - wide, 0.25),
            (0.5 - 0.38, -0.02),
            (0.5, -0.12),
            (0.5 + 0.38, -0.02),
            (0.5 + wide, 0.25),
            (0.5 + wide + 0.01, 0.60 if not person.male else 0.38),
            (0.5 + wide, down),
        ],
        np.float32,
    )


def _draw_strands(
    painter: Painter,
    line: np.ndarray,
    edge: np.ndarray,
    person: Phantom,
    shot: Shot,
    colour: np.ndarray,
    size: int,
    density: float,
) -> None:
    """Comb strands along the hair: parallel to the border of long hair, upwards from a man's hairline."""
    rng = np.random.default_rng([person.seed, 5, shot.seed % 7])
    number = int(120 * density)
    if person.male:
        root = rng.uniform(0, len(line) - 1.01, 2 * number)
        low = root.astype(int)
        start = line[low] + (root - low)[:, None] * (line[low + 1] - line[low])
        half = 0.5 * len(line)
        goal = half + (root - half) * rng.uniform(0.55, 0.80, 2 * number)
        end = edge[goal.astype(int)]
        lean = np.stack([rng.normal(0.03, 0.02, 2 * number) * size * np.sign(person.traits.hair_part), 0 * root], 1)
        lean *= np.clip(1.2 - 1.6 * np.abs(root - half) / half, 0, 1)[:, None]
        start = start + rng.normal(0, 0.005 * size, (2 * number, 2))
        strands = curve_rows(np.stack([start, 0.6 * start + 0.4 * end + lean, end], 1))
    else:
        share = rng.beta(0.9, 1.2, number)[:, None, None]
        wave = rng.normal(0, 0.006 * size, (number, 1, 2)) * np.sin(np.linspace(0, 9, len(line)))[None, :, None]
        strands = line[None] * (1 - share) + edge[None] * share + wave
    strands = strands.astype(np.float32)
    painter.lines(strands[::3], colour * 0.55, 0.005 * size, 0.50)
    painter.lines(strands[1::3], np.minimum(colour * 1.18 + 6, 255), 0.005 * size, 0.50)
    painter.lines(strands[2::3], np.minimum(colour * 1.45 + 18, 255), 0.004 * size, 0.32)


def _draw_gloss(
    painter: Painter,
    line: np.ndarray,
    edge: np.ndarray,
    colour: np.ndarray,
    size: int,
    strength: float,
    clip: np.ndarray,
) -> None:
    """Round the mass of hair: dark at the borders, a band of light between."""
    for share, factor, width, alpha in ((0.06, 0.60, 0.05, 0.6), (0.95, 0.55, 0.07, 0.7)):
        path = line + share * (edge - line)
        painter.lines(
            [path], (factor,) * 3, width * size, alpha * strength, blur=0.018 * size, clip=clip, multiply=True
        )
    band = line + 0.42 * (edge - line)
    third = len(band) // 5
    light = np.minimum(colour * 1.45 + 22, 255)
    painter.lines([band[third:-third]], light, 0.030 * size, 0.50 * strength, blur=0.018 * size, clip=clip)


def curve_rows(points: np.ndarray) -> np.ndarray:
    """Bend each row of three points into a parabola of six: [n, 3, 2] to [n, 6, 2]."""
    u = np.linspace(0, 1, 6)
    weights = np.stack([(1 - u) ** 2, 2 * u * (1 - u), u**2], 1)
    return np.einsum("kj,njc->nkc", weights, points)


def _draw_fringe(
    painter: Painter, p: Proportions, person: Phantom, colour: np.ndarray, pose: Pose, gone: float
) -> None:
    """Keep the hair above the ears of a bald head."""
    size = pose.canvas
    for s in (-1, 1):
        patch = [
            (0.5 + s * (p.temple - 0.02), 0.14),
            (0.5 + s * (p.temple + 0.07), 0.10),
            (0.5 + s * (p.temple + 0.08), 0.40),
            (0.5 + s * (p.cheek + 0.01), 0.46),
            (0.5 + s * (p.temple - 0.012), 0.32),
        ]
        painter.fill(pose.place(curve(patch, 6, closed=True), -0.4), colour * 0.85, 0.85 * gone, blur=0.014 * size)
