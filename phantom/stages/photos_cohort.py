"""Inputs of the photos profile: photographs wearing simulated signs, and public faces."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.diseases import DISEASE_NAMES, DISEASES, SEVERITIES
from models.photos.eye_landmarks import find_eyes
from phantom.drawing.signs import draw_sign

PATIENTS = "lfw_10x10"
PUBLIC = ("faker_portraits_cc0", "sfhq_synthetic_mit")
PAINT_PX = 1000  # signs are painted on an enlarged photo, then brought back to its size
SIDES = {"left": "right", "right": "left", "both": "both"}  # the viewer's left is the patient's right
FIELDS = ("patient_id", "visit_date", "eye", "diagnosis", "age", "sex", "consent", "file")


def write_patients(source: Path, out: Path, seed: int = 7) -> int:
    """Give each person of `source` a disease that all their photos wear; return the number of photos written.

    A photo in which no face is found is left out. People are numbered: names stay behind.
    """
    folders = sorted(folder for folder in source.iterdir() if folder.is_dir())
    records = []
    with tqdm(total=sum(len(list(f.glob("*.jpg"))) for f in folders), desc="signs", unit="img") as bar:
        for number, folder in enumerate(folders):
            disease = DISEASES[number % len(DISEASES)]
            for visit, path in enumerate(sorted(folder.glob("*.jpg"))):
                rng = np.random.default_rng([seed, number, visit])
                name = f"photos/p{number:03d}_{visit:02d}.png"
                eye = ("left", "right", "both")[number % 3]
                severity = "" if disease == "normal" else SEVERITIES[int(rng.integers(3))]
                if wear(path, out / name, disease, severity, eye, rng):
                    month = f"2022-{1 + visit:02d}-15"
                    records.append(
                        (f"p{number:03d}", month, SIDES[eye], DISEASE_NAMES[disease], "", "male", "yes", name)
                    )
                bar.update()
    with (out / "records.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([FIELDS, *records])
    return len(records)


def wear(source: Path, out: Path, disease: str, severity: str, eye: str, rng: np.random.Generator) -> bool:
    """Paint the sign over one photograph at its own landmarks; False where no face is found."""
    photo = cv2.imread(str(source), cv2.IMREAD_COLOR_RGB)
    assert photo is not None, source.suffix
    eyes = find_eyes(photo)
    if eyes is None:
        return False
    scale = max(1.0, PAINT_PX / max(photo.shape[:2]))
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    painted, mask = draw_sign(large, eyes.scaled(scale), disease, severity, eye, rng)
    size = (photo.shape[1], photo.shape[0])
    small = cv2.resize(painted, size, interpolation=cv2.INTER_AREA)
    # Where no sign lies, the photograph keeps its own pixels.
    cover = cv2.resize((mask > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    cover = cv2.GaussianBlur(cv2.dilate(cover, np.ones((3, 3))), (3, 3), 0)[..., None]
    result = np.rint(cover * small + (1 - cover) * photo).astype(np.uint8)
    out.parent.mkdir(parents=True, exist_ok=True)
    return cv2.imwrite(str(out), cv2.cvtColor(result, cv2.COLOR_RGB2BGR))


def copy_public(sources: list[Path], out: Path) -> int:
    """Copy the public photographs under numbers; return how many."""
    photos = [path for source in sources for path in sorted(source.rglob("*.jpg"))]
    (out / "photos").mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(photos):
        shutil.copyfile(path, out / f"photos/public{number:05d}.jpg")
    return len(photos)
