"""What the benchmark's page is made from: the metrics as their JSON files hold them, and chosen pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OWN, NOTHING_DONE, BLUR = "medsem", "identity", "blur"
ORIGINAL = "original"  # evaluate_medical's row of the images themselves: what the method identity gives, too
METHOD_NAMES = {
    NOTHING_DONE: "nothing done",
    ORIGINAL: "nothing done",
    BLUR: "Gaussian blur",
    "pixelate": "pixelation",
    "eye_bar": "bar over the eyes",
    "k_same": "k-same mean",
    "inpaint": "inpainting",
    OWN: "MedSem-DeID",
}
RECOGNISER_NAMES = {
    "arcface": "ArcFace", "cosface": "CosFace", "sphereface": "SphereFace", "sface": "SFace",
    "facenet": "FaceNet",
}  # fmt: skip
PREFERRED_RECOGNISER = "sphereface"  # of Table 9 and of figures with one ID-Dis
Estimate = Mapping[str, Any]  # value, n, ci95; a value of None comes with a reason
Row = Mapping[str, Any]


@dataclass(frozen=True)
class BenchmarkMeasured:
    """The metrics of the stages evaluate_*; no clinical one (None) where no clinician has read the images."""

    title: str
    profile: str
    medical: Mapping[str, Any]
    identity: Mapping[str, Any]
    utility: Mapping[str, Any]
    reversibility: Mapping[str, Any]
    ablation: Mapping[str, Any]
    clinical: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Patient:
    """One image of MeMa val, what each method made of it, and what the passwords give back."""

    disease: str
    planned_disease: str
    original: bytes
    by_method: Mapping[str, bytes]
    recovered: bytes | None
    wrong: bytes | None


@dataclass(frozen=True)
class BenchmarkGallery:
    """The same patients for every method, one a disease."""

    patients: Sequence[Patient]
    methods: Sequence[str]


def method_name(name: str) -> str:
    """Return a method's name as people read it; one that is not built in keeps its own."""
    return METHOD_NAMES.get(name, name.replace("_", " "))


def recogniser_name(name: str) -> str:
    """Return a recogniser's name as people read it."""
    return RECOGNISER_NAMES.get(name, name)


def in_order(names: Iterable[str]) -> list[str]:
    """Return methods in the order of METHOD_NAMES, the project's own last, others before it by name."""
    known = [name for name in METHOD_NAMES if name != OWN]
    found = set(names)
    others = sorted(found - set(METHOD_NAMES))
    return [*(n for n in known if n in found), *others, *([OWN] if OWN in found else [])]


def by_method(rows: Iterable[Row]) -> dict[str, Row]:
    """Return the rows of a metrics file by method, in the order of the page; the originals once."""
    found = {row["method"]: row for row in rows}
    if NOTHING_DONE in found:
        found.pop(ORIGINAL, None)
    return {name: found[name] for name in in_order(found)}


def nested(row: Row | None, name: str) -> Mapping[str, Estimate]:
    """Return the estimates under `name`, such as ID-Dis by recogniser; none where the row lacks them."""
    return (row or {}).get(name) or {}


def is_estimate(found: object) -> bool:
    """Tell whether something is {value, ...}."""
    return isinstance(found, dict) and "value" in found


def value_of(estimate: Estimate | None) -> float | None:
    """Return an estimate's value, None where there is none."""
    return (estimate or {}).get("value")


def interval_of(estimate: Estimate | None) -> tuple[float, float] | None:
    """Return an estimate's interval, None where an edge is unknown."""
    low, high = (estimate or {}).get("ci95") or (None, None)
    return None if low is None or high is None else (low, high)


def judge_of(rows: Iterable[Row]) -> str:
    """Return the recogniser of figures with one ID-Dis: SphereFace where it judged, as in Table 9, else the first."""
    names = {name for row in rows for name in nested(row, "id_dis")}
    return PREFERRED_RECOGNISER if PREFERRED_RECOGNISER in names else min(names, default="")


def recovered_rows(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """Return the rows of Table 8 by (method, "recovered" or "wrong")."""
    return {(row["method"], row["image"]): row for row in rows}
