"""Photos of public phantoms with the masks of what can be clicked: the sign, and the parts of the face."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.diseases import DISEASES, SEVERITIES, TUMOURS
from phantom.drawing import Eye, Phantom, Rendered, Shot, render, sample_phantom, sample_shot
from phantom.drawing.geometry import Pose, proportions
from phantom.drawing.painter import curve

CHUNK = 200  # scenes rendered between two marks of progress
PARTS = (
    "sign",
    "mouth",
    *(f"{part}_{eye}" for eye in ("left", "right") for part in ("white", "iris", "pupil", "brow")),
)
_PUPIL = 0.42  # of the iris' radius


@dataclass(frozen=True, eq=False)
class Scenes:
    """Row i of every field belongs to scene i."""

    images: np.ndarray  # uint8 [n, size, size, 3]
    parts: np.ndarray  # uint16 [n, size, size], bit k set where PARTS[k] lies
    disease: np.ndarray  # int64 [n], index into DISEASES

    def masks(self, index: int) -> dict[str, np.ndarray]:
        """Return the masks of scene `index` that are not empty, bool [size, size]."""
        bits = {name: (self.parts[index] >> k & 1).astype(bool) for k, name in enumerate(PARTS)}
        return {name: mask for name, mask in bits.items() if mask.any()}


def phantom_scenes(folder: Path, *, num_scenes: int, size: int, seed: int, workers: int = 2) -> Scenes:
    """Render one photo each of `num_scenes` phantoms, or go on from what stands in `folder`.

    Half of the photos wear a tumour, a quarter another sign; scene i depends on `seed` and i alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [range(i, min(i + CHUNK, num_scenes)) for i in range(0, num_scenes, CHUNK)]
    files = [folder / f"scenes-{chunk.start:06d}-{len(chunk)}.npz" for chunk in chunks]
    work = partial(_scene, seed, size)
    # Spawned, not forked: where OpenCV or torch has started threads, a forked copy waits for them forever.
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    with pool, tqdm(total=num_scenes, unit=" images", desc="scenes") as bar:
        for chunk, file in zip(chunks, files, strict=True):
            if not file.exists():
                _write_chunk(file, list(pool.map(work, chunk, chunksize=20)))
            bar.update(len(chunk))
    loaded = [np.load(file) for file in files]
    return Scenes(*(np.concatenate([part[name] for part in loaded]) for name in ("images", "parts", "disease")))


def _write_chunk(file: Path, scenes: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> None:
    images, parts, disease = zip(*scenes, strict=True)
    temporary = file.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, images=np.stack(images), parts=np.stack(parts), disease=np.array(disease, np.int64))
    temporary.replace(file)


def _scene(seed: int, size: int, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    cv2.setNumThreads(1)  # the processes are the parallelism
    rng = np.random.default_rng([seed, index + 1])
    person, shot = sample_phantom(rng), sample_shot(rng)
    disease = _draw_disease(rng)
    severity = "" if disease == "normal" else str(rng.choice(SEVERITIES))
    rendered = render(person, shot, size, disease, severity, str(rng.choice(("left", "right"))))
    return rendered.image, _part_bits(rendered, person, shot, size, disease), DISEASES.index(disease)


def _draw_disease(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.5:
        return str(rng.choice(TUMOURS))
    others = [name for name in DISEASES[1:] if name not in TUMOURS]
    return str(rng.choice(others)) if kind < 0.75 else "normal"


def _part_bits(rendered: Rendered, person: Phantom, shot: Shot, size: int, disease: str) -> np.ndarray:
    """Return the parts as bits; a tumour hides what it covers, other signs leave the eyes' parts undefined."""
    sign = rendered.lesion_mask > 0
    masks = {"sign": sign, "mouth": _mouth(person, shot, size)}
    if disease == "normal" or disease in TUMOURS:
        for name, eye in (("left", rendered.eyes.left), ("right", rendered.eyes.right)):
            masks |= {f"{part}_{name}": mask & ~sign for part, mask in _eye_parts(eye, person, size).items()}
    bits = np.zeros((size, size), np.uint16)
    for name, mask in masks.items():
        bits |= mask.astype(np.uint16) << PARTS.index(name)
    return bits


def _eye_parts(eye: Eye, person: Phantom, size: int) -> dict[str, np.ndarray]:
    opening = _polygon(eye.contour, size)
    iris = _disc(eye.iris, eye.radius, size) & opening
    thick = (0.1 + 0.03 * person.traits.brow_thickness + 0.05 * float(person.male) * (1 - person.childhood)) * eye.width
    return {
        "white": opening & ~iris,
        "iris": iris,
        "pupil": _disc(eye.iris, _PUPIL * eye.radius, size) & opening,
        "brow": _stroke(eye.brow, thick, size),
    }


def _mouth(person: Phantom, shot: Shot, size: int) -> np.ndarray:
    """Return both lips and what lies between them."""
    p = proportions(person, shot)
    low, lift = p.lower_lip + 0.05 * shot.mouth_open + 0.006, 0.03 * shot.smile
    around = [
        (0.5 - p.mouth, p.mouth_y - lift), (0.5, p.mouth_y - p.upper_lip),
        (0.5 + p.mouth, p.mouth_y - lift), (0.5, p.mouth_y + low),
    ]  # fmt: skip
    return _polygon(Pose(shot, size).place(curve(around, 6, closed=True), 0.35), size)


_FINE = 4  # bits of a pixel's fraction in OpenCV's drawing


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(points) * 2**_FINE).astype(np.int32)


def _polygon(points: np.ndarray, size: int) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [_fixed(points)], 1, shift=_FINE)
    return canvas.astype(bool)


def _disc(centre: np.ndarray, radius: float, size: int) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    x, y = _fixed(centre).tolist()
    cv2.circle(canvas, (x, y), round(radius * 2**_FINE), 1, -1, shift=_FINE)
    return canvas.astype(bool)


def _stroke(line: np.ndarray, width: float, size: int) -> np.ndarray:
    canvas = np.zeros((size, size), np.uint8)
    cv2.polylines(canvas, [_fixed(line)], False, 1, max(1, round(width)), shift=_FINE)
    return canvas.astype(bool)
