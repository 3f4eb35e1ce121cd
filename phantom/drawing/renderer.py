"""Draws a phantom: one photo with its truth."""

from dataclasses import dataclass

import cv2
import numpy as np

from models.photos.eyes import EyeLandmarks
from phantom.drawing.beard import draw_beard
from phantom.drawing.eye import draw_eye
from phantom.drawing.features import draw_brow, draw_mouth, draw_nose
from phantom.drawing.geometry import Pose, eye_landmarks, five_points, proportions
from phantom.drawing.hair import draw_hair, draw_hair_behind, hair_colour
from phantom.drawing.identity import Phantom
from phantom.drawing.painter import Painter, mix
from phantom.drawing.photo import background, photograph
from phantom.drawing.shot import Shot
from phantom.drawing.signs import draw_sign
from phantom.drawing.skin import draw_skin, skin_colour
from phantom.drawing.wrinkles import draw_wrinkles

_SUPERSAMPLING = 2
_MIN_DRAWN_SIZE = 128


@dataclass(frozen=True, eq=False)
class Rendered:
    """A photo of a phantom and what is true of it; coordinates in px, the centre of the first pixel is 0."""

    image: np.ndarray  # uint8 [size, size, 3], RGB
    lesion_mask: np.ndarray  # uint8 [size, size], 255 where the sign lies
    landmarks: np.ndarray  # float32 [l, 2]: the five points, then every point of `eyes`
    eyes: EyeLandmarks

    @property
    def five(self) -> np.ndarray:
        """Eyes, nose, mouth corners, the viewer's left first (insightface's order)."""
        return self.landmarks[:5]


def render(
    person: Phantom, shot: Shot, size: int = 96, disease: str = "normal", severity: str = "", eye: str = "right"
) -> Rendered:
    """Draw one photo of a phantom, with a sign unless `disease` is normal; equal arguments give equal pixels.

    `eye` is "left", "right" or "both" as the viewer sees them. A sign that moves lid or iris changes the
    picture but not the landmarks, which are those of the healthy face.
    """
    if size < 64:
        raise ValueError(f"size: {size} px is too small to draw a face; take 64 or more")
    canvas = _SUPERSAMPLING * max(size, _MIN_DRAWN_SIZE)
    pose, p = Pose(shot, canvas), proportions(person, shot)
    eyes = eye_landmarks(p, person, shot, pose)
    scene = _draw_scene(person, shot, pose, eyes)
    mask = np.zeros((canvas, canvas), np.uint8)
    if disease != "normal" or severity:
        scene, mask = draw_sign(scene, eyes, disease, severity, eye, np.random.default_rng([shot.seed, 9]))
    shrunk = eyes.scaled(size / canvas)
    five = (five_points(eyes, p, pose) + 0.5) * (size / canvas) - 0.5
    points = [five, *(part for e in (shrunk.left, shrunk.right) for part in (e.upper, e.lower, e.iris[None], e.brow))]
    lesion = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return Rendered(
        image=photograph(scene, shot, size),
        lesion_mask=np.where(lesion > 80, 255, 0).astype(np.uint8),
        landmarks=np.concatenate(points).astype(np.float32),
        eyes=shrunk,
    )


def _draw_scene(person: Phantom, shot: Shot, pose: Pose, eyes: EyeLandmarks) -> np.ndarray:
    """Paint the healthy face from back to front, uint8 [canvas, canvas, 3]."""
    p = proportions(person, shot)
    skin, hair = skin_colour(person), hair_colour(person)
    lash = mix((26, 18, 18), hair, 0.15)
    painter = Painter(background(shot, pose.canvas))
    draw_hair_behind(painter, p, person, shot, pose)
    draw_skin(painter, p, person, shot, pose)
    draw_beard(painter, p, person, shot, hair, pose)
    draw_nose(painter, p, person, skin, pose)
    draw_mouth(painter, p, person, shot, skin, pose)
    draw_wrinkles(painter, p, person, shot, pose)
    for eye in (eyes.left, eyes.right):
        draw_eye(painter, eye, person, skin, lash)
        draw_brow(painter, eye, person, hair)
    draw_hair(painter, p, person, shot, pose)
    return np.clip(painter.pixels + 0.5, 0, 255).astype(np.uint8)
