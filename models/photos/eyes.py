"""Where the eyes are: all that a sign needs to know of a face."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Eye:
    """One eye's landmarks in px; contours and brow run from the viewer's left to right."""

    upper: np.ndarray  # float32 [n, 2], margin of the upper lid, corner to corner
    lower: np.ndarray  # float32 [n, 2], margin of the lower lid, the same corners
    iris: np.ndarray  # float32 [2], centre
    radius: float  # of the iris
    brow: np.ndarray  # float32 [m, 2]
    nasal: int  # 1 where the nose lies to the viewer's right, else -1

    @property
    def contour(self) -> np.ndarray:
        """The opening between the lids as a closed polygon."""
        return np.concatenate([self.upper, self.lower[-2:0:-1]])

    @property
    def centre(self) -> np.ndarray:
        """Halfway between the corners."""
        return (self.upper[0] + self.upper[-1]) / 2

    @property
    def width(self) -> float:
        """Distance of the corners."""
        return float(np.linalg.norm(self.upper[-1] - self.upper[0]))

    @property
    def height(self) -> float:
        """The widest opening."""
        return float((self.lower[:, 1] - self.upper[:, 1]).max())

    def scaled(self, factor: float) -> "Eye":
        """Return the landmarks on an image `factor` times as large; the centre of pixel 0 is 0."""
        points = [(p + 0.5) * factor - 0.5 for p in (self.upper, self.lower, self.iris, self.brow)]
        return Eye(points[0], points[1], points[2], self.radius * factor, points[3], self.nasal)


@dataclass(frozen=True)
class EyeLandmarks:
    """Both eyes, named as the viewer sees them: `left` is on the image's left."""

    left: Eye
    right: Eye

    def scaled(self, factor: float) -> "EyeLandmarks":
        """Return the landmarks on an image `factor` times as large."""
        return EyeLandmarks(self.left.scaled(factor), self.right.scaled(factor))

    def chosen(self, eye: str) -> tuple[Eye, ...]:
        """Return the eyes that `eye` names: "left", "right" (the viewer's) or "both"."""
        if eye not in ("left", "right", "both"):
            raise ValueError(f"eye: {eye!r} is not one of left, right, both (as the viewer sees them)")
        return (self.left, self.right) if eye == "both" else (getattr(self, eye),)


def eyes_from_corners(corners: np.ndarray) -> EyeLandmarks:
    """Estimate both eyes by average proportions from their corners, [4, 2] px from left to right."""
    return EyeLandmarks(_average_eye(corners[0], corners[1], 1), _average_eye(corners[2], corners[3], -1))


def _average_eye(first: np.ndarray, last: np.ndarray, nasal: int) -> Eye:
    across = np.asarray(last, np.float32) - np.asarray(first, np.float32)
    down = np.array((-across[1], across[0]), np.float32)
    u = np.linspace(-1, 1, 17, dtype=np.float32)[:, None]
    along = (np.asarray(first, np.float32) + np.asarray(last, np.float32)) / 2 + u * across / 2
    bow = (1 - np.abs(u) ** 2.3) ** 0.85
    middle = (first + last) / 2
    brow = along[::2] + (u[::2] * 0.15) * across - (0.62 - 0.10 * u[::2] ** 2) * down
    return Eye(
        (along - 0.20 * bow * down).astype(np.float32),
        (along + 0.13 * bow * down).astype(np.float32),
        (middle - 0.03 * down).astype(np.float32),
        0.205 * float(np.linalg.norm(across)),
        brow.astype(np.float32),
        nasal,
    )
