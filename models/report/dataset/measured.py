"""What the page is made from: figures, and pictures already chosen and permitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.report.pictures import Face


@dataclass(frozen=True)
class Arm:
    """What became of one arm of the plan."""

    planned: int
    kept: int
    rejected: int


@dataclass(frozen=True)
class Measured:
    """The metrics of every stage, as their JSON files hold them, and counts over the shards."""

    title: str
    profile: str
    ingested: Mapping[str, Any]  # public faces; exact counts of patients' photos are on no page
    leakage: Mapping[str, Any]
    recheck: Mapping[str, Any]  # the recogniser that did not screen, on what was selected
    distribution: Mapping[str, Any]
    legibility: Mapping[str, Any]
    arms: Mapping[str, Arm]
    num_selected: int
    num_above: int  # selected images above any recogniser's threshold
    paper_leakage: Mapping[str, Mapping[str, float]]
    paper_distance: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Strip:
    """One plan row at several injection weights, and the face that was injected."""

    label: str
    donor: Face
    faces: Sequence[Face]


@dataclass(frozen=True)
class Neighbour:
    """A sample, the patient nearest to it, and how near."""

    sample: Face
    patient: Face
    similarity: float


@dataclass(frozen=True)
class Gallery:
    """Every picture of the page; no neighbours (None) where patients must not be shown."""

    opening: Sequence[Face]
    strips: Sequence[Strip]
    by_condition: Mapping[tuple[str, str], Sequence[Face]]
    donors: Sequence[tuple[Face, Face]]
    accepted: Sequence[Neighbour] | None = None  # of the released set alone
    rejected: Sequence[Neighbour] | None = None
    judge: str = ""  # the recogniser of the neighbours
