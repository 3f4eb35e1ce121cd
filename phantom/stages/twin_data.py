"""Photos of public phantoms for the twins, rendered once to memory maps that survive a kill."""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.diseases import DISEASES, SEVERITIES
from phantom.drawing import render, sample_phantom, sample_shot

CHUNK = 250  # identities rendered between two marks of progress


@dataclass(frozen=True)
class PairedPhotos:
    """Two photos of each public phantom: the first healthy, the second mostly with a sign."""

    images: np.ndarray  # uint8 [n, 2, h, w, 3]
    traits: np.ndarray  # float32 [n, d]: identity vector, age / 100, gender as -1 (female) or 1
    disease: list[str]  # of the second photo
    severity: list[str]


def _render_pair(seed: int, size: int, index: int) -> tuple[np.ndarray, np.ndarray, str, str]:
    rng = np.random.default_rng([seed, index])
    phantom = sample_phantom(rng)
    disease = "normal" if rng.random() < 0.08 else str(rng.choice(DISEASES[1:]))
    severity = "" if disease == "normal" else str(rng.choice(SEVERITIES, p=(0.25, 0.3, 0.45)))
    eye = str(rng.choice(("left", "right", "both")))
    healthy = render(phantom, sample_shot(rng), size=size).image
    sick = render(phantom, sample_shot(rng), size=size, disease=disease, severity=severity, eye=eye).image
    gender = 1.0 if phantom.gender == "male" else -1.0
    traits = np.concatenate([phantom.identity, [phantom.age / 100, gender]]).astype(np.float32)
    return np.stack([healthy, sick]), traits, disease, severity


def paired_photos(folder: Path, num: int, size: int, seed: int) -> PairedPhotos:
    """Render `num` pairs in two processes, or go on from the chunks that stand in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = ProcessPoolExecutor(2, get_context("spawn"))  # forked, OpenCV's threads would hang it
    with pool, tqdm(total=num, desc="phantoms", unit="pair", mininterval=5) as bar:
        for start in range(0, num, CHUNK):
            indices = range(start, min(start + CHUNK, num))
            if not (folder / f"{start:06d}.npz").exists():
                rows = pool.map(partial(_render_pair, seed, size), indices, chunksize=25)
                _write_chunk(folder / f"{start:06d}.npz", rows)
            bar.update(len(indices))
    chunks = [np.load(folder / f"{start:06d}.npz") for start in range(0, num, CHUNK)]
    labels = [json.loads(str(chunk["labels"])) for chunk in chunks]
    return PairedPhotos(
        images=np.concatenate([chunk["images"] for chunk in chunks]),
        traits=np.concatenate([chunk["traits"] for chunk in chunks]),
        disease=[d for chunk in labels for d, _ in chunk],
        severity=[s for chunk in labels for _, s in chunk],
    )


def _write_chunk(path: Path, rows: Iterator[tuple[np.ndarray, np.ndarray, str, str]]) -> None:
    images, traits, disease, severity = zip(*rows, strict=True)
    temporary = path.with_suffix(".tmp.npz")
    labels = json.dumps(list(zip(disease, severity, strict=True)))
    np.savez(temporary, images=np.stack(images), traits=np.stack(traits), labels=labels)
    temporary.replace(path)
