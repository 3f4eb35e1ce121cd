"""The classes and all that is known of each: a disease is a row here, its words in hospitals' tables, and a drawing.

The words stand in models/records/vocabulary.py: a synonym more must not make every stage stale. Also severities, and
the prompts that name them (paper, Steps 1 and 2).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Disease:
    """A class of the paper."""

    key: str
    name: str  # as prompts and pages write it
    heading: str  # of a narrow column
    sign: str  # what a reader is told to look for
    alike: tuple[str, ...]  # keys of what looks alike on a photo of the eye region
    tumour: bool = False  # to be outlined where it is seen


ROWS = (
    Disease("normal", "normal", "Normal", "No sign of disease on either eye.", ("ptosis", "conjunctivitis")),
    Disease(
        "bcc",
        "basal cell carcinoma",
        "BCC",
        "Pearly, smooth nodule with fine vessels, often a central dent or ulcer; mostly the lower lid.",
        ("scc",),
        tumour=True,
    ),
    Disease(
        "conjunctivitis",
        "conjunctivitis",
        "Conj.",
        "Red, swollen conjunctiva, often with discharge or sticky lashes.",
        ("uveitis",),
    ),
    Disease(
        "uveitis",
        "uveitis",
        "Uveitis",
        "Redness in a ring around the cornea; the pupil is small, irregular or hazy.",
        ("conjunctivitis",),
    ),
    Disease("ptosis", "ptosis", "Ptosis", "The upper lid hangs and covers part of the pupil.", ("normal", "tao")),
    Disease(
        "scc",
        "squamous cell carcinoma",
        "SCC",
        "Rough, scaly or crusted red plaque or nodule, often ulcerated, with an uneven edge.",
        ("bcc",),
        tumour=True,
    ),
    Disease(
        "strabismus",
        "strabismus",
        "Strab.",
        "The eyes do not look the same way: one turns in, out, up or down.",
        ("normal",),
    ),
    Disease(
        "tao",
        "thyroid associated ophthalmopathy",
        "TAO",
        "Staring, protruding eyes: upper lids drawn up, white above the iris, swollen lids.",
        ("ptosis",),
    ),
)
DISEASE_NAMES = {row.key: row.name for row in ROWS}
DISEASES = tuple(DISEASE_NAMES)
TUMOURS = tuple(row.key for row in ROWS if row.tumour)
SEVERITIES = ("slight", "mid", "heavy")
GENDERS = ("female", "male")


def prompt(disease: str, severity: str = "") -> str:
    """Return 'A face, eye with {disease name}[, {severity}-level]' (paper, Steps 1 and 2).

    `severity` is empty for the caption of a patient's photo, whose severity no record states, and for `normal`.
    """
    if disease not in DISEASE_NAMES:
        raise ValueError(f"disease: {disease!r} is not one of {', '.join(DISEASES)}")
    if severity and (severity not in SEVERITIES or disease == "normal"):
        raise ValueError(f"severity: {severity!r} for {disease!r}; allowed: {', '.join(SEVERITIES)} (none for normal)")
    text = f"A face, eye with {DISEASE_NAMES[disease]}"
    return f"{text}, {severity}-level" if severity else text


def all_prompts() -> tuple[str, ...]:
    """Return the empty prompt, then every caption and every severity prompt, in a fixed order."""
    captions = [prompt(disease) for disease in DISEASES]
    graded = [prompt(disease, severity) for disease in DISEASES if disease != "normal" for severity in SEVERITIES]
    return ("", *captions, *graded)
