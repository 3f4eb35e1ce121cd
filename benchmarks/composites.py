"""Pictures with known true eyes: photographs of one face each, turned, scaled and laid over one another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.detectors import Hog
from models.photos.every_face import Seeker
from models.photos.geometry import Geometry

EYE_RADIUS = 0.22  # of the gap between the eyes: lids and corners
SURROUNDINGS = 0.95  # of the square's side, to each side of its middle
FACE_PX, MEGAPIXELS = (40.0, 2000.0), (0.3, 24.0)


@dataclass(frozen=True)
class Source:
    """A photograph of one face, its square (x, y, side) and its eyes."""

    rgb: UInt8[np.ndarray, "h w 3"]
    square: tuple[float, float, float]
    eyes: Float[np.ndarray, "2 2"]


@dataclass(frozen=True)
class TrueFace:
    """A face of a composite: its eyes, the side of its square, how far it is turned, and how it was placed."""

    eyes: Float[np.ndarray, "2 2"]
    side_px: float
    turned: float
    placed: str


@dataclass(frozen=True)
class Composite:
    """A picture and the faces in it of which both eyes show."""

    rgb: UInt8[np.ndarray, "h w 3"]
    faces: list[TrueFace]


def load_sources(folders: Sequence[Path], at_most: int, seed: int) -> list[Source]:
    """Return photographs, drawn at random, in which one face with certain eyes is found and no other."""
    files = sorted(file for folder in folders for file in folder.rglob("*.jpg"))
    np.random.default_rng(seed).shuffle(files)
    seeker, found = Seeker((Hog(-0.3),), 60), []
    for file in files:
        rgb = np.ascontiguousarray(cv2.imread(str(file))[..., ::-1])
        faces = seeker.faces(rgb)
        if len(faces) == 1 and isinstance(faces[0].geometry, Geometry) and not faces[0].turned:
            region = faces[0].regions[0]
            found.append(Source(rgb, (region.x, region.y, region.side), faces[0].geometry.eyes))
        if len(found) == at_most:
            break
    return found


def composites(sources: Sequence[Source], num: int, seed: int) -> Iterator[Composite]:
    """Yield pictures of 1 to 6 faces; each is a function of the seed and its number alone."""
    for number in range(num):
        draw = np.random.default_rng((seed, number))
        area = 1e6 * np.exp(draw.uniform(*np.log(MEGAPIXELS)))
        aspect = draw.uniform(0.66, 1.5)
        width, height = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        picture = _background(draw, height, width)
        faces: list[TrueFace] = []
        for _ in range(int(draw.integers(1, 7))):
            faces = _paste(picture, faces, sources[int(draw.integers(len(sources)))], draw)
        yield Composite(picture, faces)


def eye_mask(face: TrueFace, shape: tuple[int, ...]) -> np.ndarray:
    """Return the discs about both eyes."""
    gap = np.linalg.norm(face.eyes[1] - face.eyes[0])
    mask = np.zeros(shape[:2], np.uint8)
    for x, y in face.eyes:
        cv2.circle(mask, (round(x), round(y)), max(2, round(EYE_RADIUS * gap)), 1, -1)
    return mask > 0


def _background(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return coloured clouds of several sizes, with lines as of furniture and the grain of a sensor."""
    small = (max(2, width // 8), max(2, height // 8))
    ground = np.zeros((small[1], small[0], 3), np.float32)
    for cells, strength in ((3, 70.0), (12, 30.0), (60, 14.0)):
        noise = draw.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        ground += cv2.resize(noise, small, interpolation=cv2.INTER_CUBIC)
    ground = np.clip(ground + draw.uniform(60, 190, 3), 0, 255).astype(np.uint8)
    for _ in range(int(draw.integers(0, 12))):
        one, two = (tuple(int(at) for at in draw.uniform(0, small)) for _ in range(2))
        cv2.rectangle(ground, one, two, [int(c) for c in draw.integers(0, 256, 3)], int(draw.integers(1, 6)))
    picture = cv2.resize(ground, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = draw.integers(-6, 7, (256, 256, 1), np.int16)
    tiles = np.tile(grain, (height // 256 + 1, width // 256 + 1, 1))[:height, :width]
    return np.clip(picture.astype(np.int16) + tiles, 0, 255).astype(np.uint8)


def _paste(
    picture: np.ndarray, faces: list[TrueFace], source: Source, draw: np.random.Generator
) -> list[TrueFace]:
    """Lay a face over the picture; return the faces whose eyes still show, with the new one."""
    height, width = picture.shape[:2]
    largest = min(FACE_PX[1], 0.6 * min(height, width))
    side = float(np.exp(draw.uniform(*np.log((FACE_PX[0], largest)))))
    middle = draw.uniform(0.1, 0.9, 2) * (width, height)
    placed = "alone"
    if faces and draw.random() < 0.4:
        other = faces[int(draw.integers(len(faces)))]
        centre = other.eyes.mean(axis=0)
        if draw.random() < 0.5:
            placed, side = "nested", max(FACE_PX[0], other.side_px * draw.uniform(0.15, 0.4))
            middle = centre + draw.uniform(-0.5, 0.5, 2) * other.side_px
        else:
            placed, side = "overlapping", other.side_px * draw.uniform(0.7, 1.3)
            middle = centre + draw.choice([-1, 1], 2) * draw.uniform(0.5, 0.9, 2) * other.side_px
    angle = float(draw.uniform(0, 360))
    x, y, old = source.square
    half = min(SURROUNDINGS * side, 0.45 * min(height, width))
    middle = np.clip(middle, half, np.array([width, height]) - half)
    rgb, factor = source.rgb, side / old
    if factor < 0.5:
        rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    inner = rgb.shape[1] / source.rgb.shape[1]
    matrix = cv2.getRotationMatrix2D((x * inner, y * inner), angle, factor / inner)
    left, top = np.floor(middle - half).astype(int)
    size = int(np.ceil(2 * half)) + 1
    matrix[:, 2] += middle - (left, top) - np.array([x, y]) * inner
    warped = cv2.warpAffine(
        rgb, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    rows, columns = np.ogrid[:size, :size]
    away = np.hypot(columns - (middle[0] - left), rows - (middle[1] - top)) / half
    share = np.clip((1 - away) / 0.12, 0, 1)[..., None]
    window = picture[top : top + size, left : left + size]
    share, warped = share[: window.shape[0], : window.shape[1]], warped[: window.shape[0], : window.shape[1]]
    laid = np.zeros((height, width), bool)
    laid[top : top + size, left : left + size] = share[..., 0] > 0.3
    window[...] = np.rint(window + share * (warped.astype(np.float32) - window))
    showing = [face for face in faces if laid[eye_mask(face, picture.shape)].mean() < 0.25]
    eyes = (source.eyes * inner) @ matrix[:, :2].T + matrix[:, 2] + (left, top)
    return [*showing, TrueFace(eyes, side, angle, placed)]
