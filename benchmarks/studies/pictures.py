"""Pictures for the benchmarks: photographs where MEMA_ASSETS has them, else phantoms."""

import os
import random
from pathlib import Path

import cv2
import numpy as np

from models.diseases import DISEASES
from models.images import decode
from phantom.drawing import render, sample_phantom, sample_shot


def pictures_of(num: int, size_px: int) -> tuple[str, np.ndarray]:
    """Return what the pictures are, and some of them, uint8 [num, size, size, 3]."""
    assets = os.environ.get("MEMA_ASSETS")
    return ("photographs", photographs(Path(assets), num, size_px)) if assets else ("phantoms", phantoms(num, size_px))


def photographs(assets: Path, num: int, size_px: int) -> np.ndarray:
    """Return photographs and synthetic portraits, shrunk and never enlarged, so that their detail is true."""
    files = sorted((assets / "data").glob("*/**/*.jpg"))
    random.Random(0).shuffle(files)
    found: list[np.ndarray] = []
    for file in files:
        if len(found) == num:
            break
        picture = decode(file.read_bytes())
        if min(picture.shape[:2]) >= size_px:
            found.append(cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA))
    if not found:
        raise FileNotFoundError(f"MEMA_ASSETS: no photograph of {size_px} px in {assets}/data; unset it for phantoms")
    return np.stack(found)[np.arange(num) % len(found)]


def phantoms(num: int, size_px: int) -> np.ndarray:
    """Return photos of phantoms with the diseases in turn, uint8 [num, size, size, 3]; their noise is a camera's."""
    rng = np.random.default_rng(0)
    pictures = []
    for i in range(num):
        disease = DISEASES[i % len(DISEASES)]
        severity = "" if disease == "normal" else "mid"
        person, shot = sample_phantom(rng), sample_shot(rng)
        pictures.append(render(person, shot, size=size_px, disease=disease, severity=severity).image)
    return np.stack(pictures)
