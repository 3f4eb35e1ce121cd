"""Pictures with known true eyes: photographs of one face each, turned, scaled, laid over one another, half covered."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from models.photos.alignment import packaged_predictor
from models.photos.detectors import Cnn, Detector, Hog
from models.photos.regions import Region
from models.photos.search import Pass, search

EYE_RADIUS = 0.22  # of the gap between the eyes: lids and corners
SURROUNDINGS = 0.95  # of the square's side, to each side of its middle
FACE_PX, MEGAPIXELS = (40.0, 2000.0), (0.3, 24.0)
SOURCE_PX = 512
MAX_COVERED = 0.25  # of an eye's disc: it still shows
ONE_EYED = 0.1  # share of faces of which half is covered
AGREE = 0.15  # of the eyes' gap, between two predictors


@dataclass(frozen=True)
class Source:
    """A photograph of one face, its square (x, y, side) and its eyes."""

    rgb: UInt8[np.ndarray, "h w 3"]
    square: tuple[float, float, float]
    eyes: Float[np.ndarray, "2 2"]


@dataclass(frozen=True)
class TrueFace:
    """A face of a composite: its eyes, which of them show, its square's side, how it is turned, how it was placed."""

    eyes: Float[np.ndarray, "2 2"]
    showing: tuple[bool, bool]
    side_px: float
    turned: float
    placed: str

    @property
    def kind(self) -> str:
        """Return how it was placed, or that it shows one eye."""
        return self.placed if all(self.showing) else "one eye"


@dataclass(frozen=True)
class Composite:
    """A picture and the faces in it of which an eye shows."""

    rgb: UInt8[np.ndarray, "h w 3"]
    faces: list[TrueFace]


def load_sources(folders: Sequence[Path], predictor: Path, network: Detector, at_most: int, seed: int) -> list[Source]:
    """Return photographs, drawn at random, with a face on whose eyes two predictors agree, whichever detector saw it.

    `network` looks first, then HOG, then the CNN. `predictor` is one of dlib's with 5 points; the other is packaged.
    """
    dlib: Any = importlib.import_module("dlib")
    five, many = (dlib.shape_predictor(str(path)) for path in (predictor, packaged_predictor()))
    found = []
    files = sorted(file for folder in folders for file in folder.rglob("*.jpg"))
    for file in (files[at] for at in np.random.default_rng(seed).permutation(len(files))):
        if len(found) == at_most:
            break
        rgb = cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # pyright: ignore
        shrink = min(1.0, SOURCE_PX / max(rgb.shape[:2]))
        rgb = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        for detector in (network, Hog(-0.3), Cnn()):
            scale = detector.window_px / 60 if detector.tile else 1.0
            regions = search(
                rgb, [Pass(detector, scale / 2**halved, (0,)) for halved in range(2 if detector.tile else 1)]
            )
            eyes = agreed_eyes(rgb, max(regions, key=lambda r: r.side), five, many, dlib) if regions else None
            if eyes is not None:
                region = max(regions, key=lambda r: r.side)
                found.append(Source(rgb, (region.x, region.y, region.side), eyes))
                break
    return found


def agreed_eyes(rgb: np.ndarray, region: Region, five: Any, many: Any, dlib: Any) -> Float[np.ndarray, "2 2"] | None:
    """Return the eyes that both predictors give in an upright square, None where they differ."""
    box = dlib.rectangle(*(round(at) for at in region.box()))
    points = [np.array([(p.x, p.y) for p in of(rgb, box).parts()], float) for of in (five, many)]
    few = np.array([points[0][2:4].mean(axis=0), points[0][0:2].mean(axis=0)])
    eyes = np.array([points[1][36:42].mean(axis=0), points[1][42:48].mean(axis=0)])
    gap = np.linalg.norm(eyes[1] - eyes[0])
    agree = np.linalg.norm(few - eyes, axis=1).max() <= AGREE * gap
    return eyes if agree and 0.25 < gap / region.side < 0.65 else None


def megapixels(draw: np.random.Generator) -> float:
    """Return the area of the picture whose generator this is; what is drawn first."""
    return float(np.exp(draw.uniform(*np.log(MEGAPIXELS))))


def composite(sources: Sequence[Source], draw: np.random.Generator) -> Composite:
    """Return one picture of 1 to 6 faces."""
    area = 1e6 * megapixels(draw)
    aspect = draw.uniform(0.66, 1.5)
    width, height = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
    picture = _background(draw, height, width)
    faces: list[TrueFace] = []
    for _ in range(int(draw.integers(1, 7))):
        faces = _paste(picture, faces, sources[int(draw.integers(len(sources)))], draw)
        if draw.random() < ONE_EYED:
            faces = _half_covered(picture, faces, draw)
    return Composite(picture, faces)


def eye_mask(face: TrueFace, shape: tuple[int, ...], eyes: Sequence[int] = (0, 1)) -> np.ndarray:
    """Return the discs about those of these eyes that show."""
    gap = np.linalg.norm(face.eyes[1] - face.eyes[0])
    mask = np.zeros(shape[:2], np.uint8)
    for x, y in (face.eyes[eye] for eye in eyes if face.showing[eye]):
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


def _place(size: tuple[int, int], faces: list[TrueFace], draw: np.random.Generator) -> tuple[str, float, np.ndarray]:
    """Return how a face is placed in a picture of (width, height), its side and its middle."""
    largest = min(FACE_PX[1], 0.6 * min(size))
    side = float(np.exp(draw.uniform(*np.log((FACE_PX[0], largest)))))
    middle = draw.uniform(0.1, 0.9, 2) * size
    if not faces or draw.random() >= 0.4:
        return "alone", side, middle
    other = faces[int(draw.integers(len(faces)))]
    centre = other.eyes.mean(axis=0)
    if draw.random() < 0.5:
        inner = max(FACE_PX[0], other.side_px * draw.uniform(0.15, 0.4))
        return "nested", inner, centre + draw.uniform(-0.5, 0.5, 2) * other.side_px
    aside = draw.choice([-1, 1], 2) * draw.uniform(0.5, 0.9, 2) * other.side_px
    return "overlapping", max(FACE_PX[0], other.side_px * draw.uniform(0.7, 1.3)), centre + aside


def _paste(picture: np.ndarray, faces: list[TrueFace], source: Source, draw: np.random.Generator) -> list[TrueFace]:
    """Lay a face over the picture; return the faces of which an eye still shows, with the new one."""
    height, width = picture.shape[:2]
    placed, side, middle = _place((width, height), faces, draw)
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
    warped = cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    rows, columns = np.ogrid[:size, :size]
    away = np.hypot(columns - (middle[0] - left), rows - (middle[1] - top)) / half
    share = np.clip((1 - away) / 0.12, 0, 1)[..., None]
    window = picture[top : top + size, left : left + size]
    share, warped = share[: window.shape[0], : window.shape[1]], warped[: window.shape[0], : window.shape[1]]
    laid = np.zeros((height, width), bool)
    laid[top : top + size, left : left + size] = share[..., 0] > 0.3
    window[...] = np.rint(window + share * (warped.astype(np.float32) - window))
    eyes = (source.eyes * inner) @ matrix[:, :2].T + matrix[:, 2] + (left, top)
    return [*_showing(faces, laid), TrueFace(eyes, (True, True), side, angle, placed)]


def _half_covered(picture: np.ndarray, faces: list[TrueFace], draw: np.random.Generator) -> list[TrueFace]:
    """Cover the half of the last face that lies beyond its nose, as a hand or a door frame does."""
    face = faces[-1]
    across = face.eyes[1] - face.eyes[0]
    along = np.array([-across[1], across[0]])
    middle, ahead = face.eyes.mean(axis=0), across if draw.random() < 0.5 else -across
    corners = [middle + s * ahead * 0.05 + t * 2 * along + u * 1.8 * ahead
               for s, t, u in ((1, -1, 0), (1, 1, 0), (1, 1, 1), (1, -1, 1))]  # fmt: skip
    laid = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(laid, np.rint(corners).astype(np.int32), 1)
    shade = draw.uniform(40, 210, 3) + draw.normal(0, 8, (*picture.shape[:2], 1)).astype(np.float32)
    picture[laid > 0] = np.clip(shade[laid > 0], 0, 255).astype(np.uint8)
    return _showing(faces, laid > 0)


def _showing(faces: list[TrueFace], laid: np.ndarray) -> list[TrueFace]:
    """Return the faces of which an eye shows beside what was laid over them."""
    kept = []
    for face in faces:
        bare = []
        for eye in (0, 1):
            disc = eye_mask(face, laid.shape, (eye,))
            bare.append(bool(disc.any()) and laid[disc].mean() < MAX_COVERED)
        if any(bare):
            kept.append(replace(face, showing=(bare[0], bare[1])))
    return kept
