"""Who the phantom patients and public faces are, and the photos that are taken of them.

Distributions are met by stratified draws, so that 24 patients show them as 10,000 would:

| of | patients | public |
|---|---|---|
| visits | 1-6 with the shares of VISITS, mean 3.15 (paper: 39,323 photos of 12,467 people) | one |
| disease | as many patients of each of the eight | normal |
| age at the first visit | triangular 4, 68, 88 (mean 53) | triangular 1, 26, 92 (mean 40) |
| women | 42 % | 62 % |

Chronic diseases come back more often, so that the eight differ in their share of the photos.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from models.diseases import DISEASE_NAMES, DISEASES, GENDERS, SEVERITIES
from phantom.drawing.identity import Phantom, sample_phantom
from phantom.drawing.renderer import render
from phantom.drawing.shot import CAMERAS, Shot, sample_shot

VISITS = (0.17, 0.20, 0.22, 0.21, 0.12, 0.08)  # shares of patients with 1, 2 ... 6 visits
PATIENT_AGES, PUBLIC_AGES = (4.0, 68.0, 88.0), (1.0, 26.0, 92.0)  # youngest, most frequent, oldest
PATIENT_WOMEN, PUBLIC_WOMEN = 0.42, 0.62
CODES = {
    "normal": "Z01.0", "bcc": "C44.11", "conjunctivitis": "H10.9", "uveitis": "H20.0", "ptosis": "H02.4",
    "scc": "C44.12", "strabismus": "H50.0", "tao": "H06.2",
}  # fmt: skip
# How likely a disease is to be followed for long, 0 to 1.
CHRONICITY = {
    "normal": 0.0, "bcc": 0.6, "conjunctivitis": 0.2, "uveitis": 0.9, "ptosis": 0.5, "scc": 0.7,
    "strabismus": 0.8, "tao": 1.0,
}  # fmt: skip
# Share of patients with both eyes affected; a tumour or a squint has one side.
BOTH_EYES = {"normal": 1.0, "conjunctivitis": 0.4, "uveitis": 0.15, "ptosis": 0.15, "tao": 0.6}
VIEWERS_SIDE = {"left": "right", "right": "left", "both": "both"}  # the patient's right is on our left
HOSPITALS = {camera: f"hospital_{index}" for index, camera in enumerate(CAMERAS, 1)}
FIRST_DAY, DAYS_OF_FIRST_VISITS = date(2018, 1, 1), 3 * 365
DAYS_BETWEEN_VISITS = (28, 300)

# Kinds of people. With the index from 1 behind it, no seed ends in a zero: NumPy drops those, and
# [seed, kind, 0] would draw the phantom [seed, kind] that the twins have seen.
_PATIENT, _PUBLIC, _DESIGN = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo to be drawn, with a sign unless `disease` is normal; `eye` is the viewer's side."""

    file: str
    person: Phantom
    shot: Shot
    disease: str = "normal"
    severity: str = ""
    eye: str = "both"


@dataclass(frozen=True, eq=False)
class Visit:
    """A photo, and the row of the hospital's table that names it."""

    photo: Photo
    record: dict[str, str]


def draw(photo: Photo, size: int) -> np.ndarray:
    """Return the photo, uint8 RGB [size, size, 3]."""
    return render(photo.person, photo.shot, size, photo.disease, photo.severity, photo.eye).image


def patients(num_patients: int, seed: int) -> list[Visit]:
    """Return every visit of every patient, in the order of patients and dates."""
    rng = np.random.default_rng([seed, _DESIGN, _PATIENT])
    ages, genders = _ages_and_genders(num_patients, PATIENT_AGES, PATIENT_WOMEN, rng)
    diseases = [DISEASES[i % len(DISEASES)] for i in rng.permutation(num_patients)]
    cameras = [list(CAMERAS)[i % len(CAMERAS)] for i in rng.permutation(num_patients)]
    eyes = _affected_eyes(diseases, rng)
    visits: list[Visit] = []
    for index, num_visits in enumerate(_numbers_of_visits(diseases, rng)):
        own = np.random.default_rng([seed, _PATIENT, index + 1])
        person = sample_phantom(own, ages[index], genders[index])
        first = Photo("", person, Shot(camera=cameras[index]), diseases[index], eye=eyes[index])
        photos = _follow(first, num_visits, own)
        for number, (photo, day) in enumerate(photos, 1):
            name = f"photos/{HOSPITALS[cameras[index]]}/p{index + 1:05d}_{number}.png"
            photo = replace(photo, file=name)
            visits.append(Visit(photo, _record(photo, f"P{index + 1:05d}", len(visits) + 1, day)))
    return visits


def public(num_public: int, seed: int) -> list[Photo]:
    """Return one photo each of healthy people who are nobody's patients."""
    rng = np.random.default_rng([seed, _DESIGN, _PUBLIC])
    ages, genders = _ages_and_genders(num_public, PUBLIC_AGES, PUBLIC_WOMEN, rng)
    photos = []
    for index in range(num_public):
        own = np.random.default_rng([seed, _PUBLIC, index + 1])
        person = sample_phantom(own, ages[index], genders[index])
        photos.append(Photo(f"photos/f{index + 1:06d}.png", person, sample_shot(own)))
    return photos


def _quantiles(n: int) -> np.ndarray:
    """Return the middles of n equal parts of [0, 1]."""
    return (np.arange(n) + 0.5) / n


def _ages_and_genders(
    n: int, triangle: tuple[float, float, float], women: float, rng: np.random.Generator
) -> tuple[list[float], list[str]]:
    low, mode, high = triangle
    u, turn = rng.permutation(_quantiles(n)), (mode - low) / (high - low)
    rising = low + np.sqrt(u * (high - low) * (mode - low))
    falling = high - np.sqrt((1 - u) * (high - low) * (high - mode))
    female, male = GENDERS
    genders = [female if q < women else male for q in rng.permutation(_quantiles(n))]
    return np.where(u < turn, rising, falling).tolist(), genders


def _numbers_of_visits(diseases: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Return 1 to 6 per patient in the shares of VISITS; the long follow-ups go to chronic diseases."""
    n = len(diseases)
    numbers = np.searchsorted(np.cumsum(VISITS[:-1]), _quantiles(n), side="right") + 1
    tendency = np.array([CHRONICITY[disease] for disease in diseases]) + rng.uniform(0, 2, n)
    return numbers[np.argsort(np.argsort(tendency))].tolist()


def _affected_eyes(diseases: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return the viewer's side per patient: both where the disease has it so, else left and right in turn."""
    seen: Counter[str] = Counter()
    eyes = []
    for disease in diseases:
        seen[disease] += 1
        side = ("left", "right")[(seen[disease] + DISEASES.index(disease)) % 2]
        eyes.append("both" if rng.random() < BOTH_EYES.get(disease, 0.0) else side)
    return eyes


def _follow(patient: Photo, num_visits: int, rng: np.random.Generator) -> list[tuple[Photo, date]]:
    """Return a patient's photos with their dates: one eye, one camera, a severity that comes and goes."""
    day = FIRST_DAY + timedelta(int(rng.integers(DAYS_OF_FIRST_VISITS)))
    first, level, photos = day, int(rng.integers(len(SEVERITIES))), []
    for _ in range(num_visits):
        older = replace(patient.person, age=patient.person.age + (day - first).days / 365.25)
        severity = "" if patient.disease == "normal" else SEVERITIES[level]
        shot = sample_shot(rng, patient.shot.camera)
        photos.append((replace(patient, person=older, shot=shot, severity=severity), day))
        day += timedelta(int(rng.integers(*DAYS_BETWEEN_VISITS)))
        level = int(np.clip(level + rng.choice((-1, 0, 0, 1)), 0, len(SEVERITIES) - 1))
    return photos


def _record(photo: Photo, patient_id: str, number: int, day: date) -> dict[str, str]:
    return {
        "record_id": f"R{number:06d}",
        "patient_id": patient_id,
        "visit_date": day.isoformat(),
        "eye": VIEWERS_SIDE[photo.eye],
        "diagnosis_code": CODES[photo.disease],
        "diagnosis": DISEASE_NAMES[photo.disease],
        "age": str(int(photo.person.age)),
        "sex": photo.person.gender,
        "consent": "yes",
        "file": photo.file,
    }
