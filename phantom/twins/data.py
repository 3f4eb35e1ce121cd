"""Photos of public phantoms with their truth, rendered once to memory maps that survive a kill."""

from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.format import open_memmap
from tqdm import tqdm

from models.diseases import DISEASES, GENDERS, SEVERITIES
from phantom.drawing import render, sample_phantom, sample_shot

CHUNK = 100  # identities rendered between two marks of progress
LABELS = ("identity", "age", "gender", "disease", "severity", "traits")


@dataclass(frozen=True)
class PhantomPhotos:
    """Photos of public phantoms, `shots` in a row of each; row i of every field belongs to image i."""

    images: np.ndarray  # uint8 [n, size, size, 3], memory-mapped
    identity: np.ndarray  # int64 [n], from 0
    age: np.ndarray  # float32 [n], years
    gender: np.ndarray  # int64 [n], index into GENDERS
    disease: np.ndarray  # int64 [n], index into DISEASES
    severity: np.ndarray  # int64 [n], index into SEVERITIES, -1 where normal
    traits: np.ndarray  # float32 [n, d], the phantom's identity vector


def phantom_photos(
    folder: Path, *, num_identities: int, shots: int, sign_share: float, size: int, seed: int, workers: int = 2
) -> PhantomPhotos:
    """Render `shots` photos of each of `num_identities` phantoms, or go on from what stands in `folder`.

    `sign_share` of the photos wear a sign of one of the seven diseases, each as often as another; the phantom
    of index i depends on `seed` and i alone.
    """
    chunks = [range(i, min(i + CHUNK, num_identities)) for i in range(0, num_identities, CHUNK)]
    images = _open_images(folder / "images.npy", (num_identities * shots, size, size, 3))
    missing = [chunk for chunk in chunks if not _label_file(folder, chunk).exists()]
    work = partial(_render_identity, seed, shots, sign_share, size)
    total = num_identities * shots
    # Spawned, not forked: where OpenCV or torch has started threads, a forked copy waits for them forever.
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    with pool, tqdm(total=total, unit=" images", desc="phantoms") as bar:
        bar.update(total - sum(map(len, missing)) * shots)
        for chunk in missing:
            _render_chunk(pool, work, chunk, shots, images, _label_file(folder, chunk))
            bar.update(len(chunk) * shots)
    parts = [np.load(_label_file(folder, chunk)) for chunk in chunks]
    labels = {name: np.concatenate([part[name] for part in parts]) for name in LABELS}
    return PhantomPhotos(images=np.load(folder / "images.npy", mmap_mode="r"), **labels)


def _open_images(path: Path, shape: tuple[int, ...]) -> np.memmap:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = open_memmap(path, mode="r+" if path.exists() else "w+", dtype=np.uint8, shape=shape)
    if images.shape != shape:
        raise ValueError(f"{path}: holds {images.shape}, wanted {shape}; delete {path.parent} to render again")
    return images


def _label_file(folder: Path, chunk: range) -> Path:
    return folder / f"labels-{chunk.start:06d}-{len(chunk)}.npz"


def _render_chunk(pool: Executor, work: partial, chunk: range, shots: int, images: np.memmap, labels: Path) -> None:
    """Write the pixels, then the labels: the label file is the mark that the chunk is whole."""
    rows = list(pool.map(work, chunk, chunksize=10))
    images[chunk.start * shots : chunk.stop * shots] = np.concatenate([pixels for pixels, _ in rows])
    images.flush()
    temporary = labels.with_suffix(".tmp.npz")
    truths = {name: np.concatenate([truth[name] for _, truth in rows]) for name in LABELS}
    np.savez(temporary, allow_pickle=False, **truths)
    temporary.replace(labels)


def _render_identity(
    seed: int, shots: int, sign_share: float, size: int, index: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    cv2.setNumThreads(1)  # the processes are the parallelism
    rng = np.random.default_rng([seed, index])
    phantom = sample_phantom(rng)
    pixels, signs = [], []
    for _ in range(shots):
        disease = str(rng.choice(DISEASES[1:])) if rng.random() < sign_share else "normal"
        severity = "" if disease == "normal" else str(rng.choice(SEVERITIES))
        eye = str(rng.choice(("left", "right")))
        shot = sample_shot(rng)
        pixels.append(render(phantom, shot, size=size, disease=disease, severity=severity, eye=eye).image)
        signs.append((DISEASES.index(disease), SEVERITIES.index(severity) if severity else -1))
    return np.stack(pixels), {
        "identity": np.full(shots, index, np.int64),
        "age": np.full(shots, phantom.age, np.float32),
        "gender": np.full(shots, GENDERS.index(phantom.gender), np.int64),
        "disease": np.array([disease for disease, _ in signs], np.int64),
        "severity": np.array([severity for _, severity in signs], np.int64),
        "traits": np.tile(phantom.identity.astype(np.float32), (shots, 1)),
    }
