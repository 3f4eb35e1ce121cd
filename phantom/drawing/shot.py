"""What differs between two photos of one person: expression, pose, light, background and camera."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Camera(NamedTuple):
    """How a hospital's camera renders a scene."""

    cast: tuple[float, float, float]  # gain of red, green, blue
    noise: float  # standard deviation in grey levels
    blur: float  # Gaussian sigma, as a share of the image's width
    sharpen: float
    contrast: float
    jpeg: int  # quality


CAMERAS = {
    "slit_lamp": Camera((1.03, 1.0, 0.96), 2.0, 0.0016, 0.4, 1.06, 94),
    "ward_compact": Camera((0.98, 1.0, 1.05), 3.2, 0.0028, 0.2, 0.98, 88),
    "clinic_phone": Camera((1.02, 1.0, 0.98), 2.2, 0.0012, 0.7, 1.1, 90),
    "old_reflex": Camera((1.05, 1.0, 0.92), 1.6, 0.0036, 0.0, 0.94, 95),
}


@dataclass(frozen=True)
class Shot:
    """One photo's circumstances; directions are the viewer's, 0 is neutral."""

    smile: float = 0.2  # 0 to 1
    mouth_open: float = 0.0  # 0 to 1
    brow_raise: float = 0.0  # -1 to 1
    gaze: tuple[float, float] = (0.0, 0.0)  # right and down, -1 to 1
    yaw: float = 0.0  # -1 to 1, the nose goes right
    pitch: float = 0.0  # -1 to 1, the nose goes down
    roll: float = 0.0  # degrees, clockwise
    zoom: float = 1.0
    light: tuple[float, float] = (-0.3, -0.45)  # where the light comes from: right and down, -1 to 1
    light_intensity: float = 1.0
    light_temperature: float = 0.0  # -1 cold to 1 warm
    background: tuple[float, float, float] = (0.55, 0.25, 0.6)  # hue, saturation, value, each 0 to 1
    hair_shift: float = 0.0  # -1 to 1, how the hair fell that day
    stubble: float = 0.0  # -1 shaved to 1
    camera: str = "slit_lamp"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.camera not in CAMERAS:
            raise ValueError(f"camera: {self.camera!r} is not one of {', '.join(CAMERAS)}")


def _normal(rng: np.random.Generator, deviation: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, deviation), -limit, limit))


def sample_shot(rng: np.random.Generator, camera: str | None = None) -> Shot:
    """Draw the circumstances of one photo; the camera is any of CAMERAS where it is not given."""
    drawn_camera = str(rng.choice(list(CAMERAS)))
    return Shot(
        smile=float(rng.beta(1.2, 1.8)),
        mouth_open=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.2 else 0.0,
        brow_raise=_normal(rng, 0.35, 0.8),
        gaze=(_normal(rng, 0.13, 0.3), _normal(rng, 0.1, 0.25)),
        yaw=_normal(rng, 0.4, 1),
        pitch=_normal(rng, 0.35, 0.9),
        roll=_normal(rng, 1.3, 3.5),
        zoom=float(rng.uniform(0.985, 1.02)),
        light=(float(rng.uniform(-0.75, 0.75)), float(rng.uniform(-0.8, -0.2))),
        light_intensity=float(rng.uniform(0.88, 1.1)),
        light_temperature=_normal(rng, 0.4, 1),
        background=(float(rng.uniform(0, 1)), float(rng.uniform(0.05, 0.45)), float(rng.uniform(0.25, 0.9))),
        hair_shift=float(rng.uniform(-1, 1)),
        stubble=float(rng.uniform(-1, 1)),
        camera=drawn_camera if camera is None else camera,
        seed=int(rng.integers(2**31)),
    )
