"""What the readers' page is made from: figures, and pictures already chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReadersMeasured:
    """The metrics of the stages from prelabel to assemble, as their JSON files hold them."""

    title: str
    profile: str
    prelabel: Mapping[str, Any]
    annotations: Mapping[str, Any]
    readers: Mapping[str, Any]
    assemble: Mapping[str, Any]

    @property
    def simulated(self) -> bool:
        """Whether programs read instead of people."""
        return self.readers["source"] == "simulated"

    @property
    def names(self) -> list[str]:
        """The readers' aliases."""
        return sorted(self.readers["intra"])


@dataclass(frozen=True)
class Example:
    """An image of MeMa as adjudicated."""

    image: bytes
    disease: str
    severity: str
    planned_disease: str


@dataclass(frozen=True)
class Disputed:
    """An image on which readers disagreed, and what each of them said; the senior's vote stands last."""

    example: Example
    decided_by: str
    votes: Sequence[Mapping[str, str]]  # reader, disease, severity, quality, confidence


@dataclass(frozen=True)
class Outlined:
    """An image of MeMa-Seg, the consensus mask as a grey PNG, and where the mask comes from."""

    example: Example
    mask: bytes
    provenance: str
    num_masks: int


@dataclass(frozen=True)
class ReadersGallery:
    """Every picture of the page, all of the split train, with the number that each was chosen from."""

    by_disease: Mapping[str, Sequence[Example]]
    disputed: Sequence[Disputed]
    num_disputed: int
    outlined: Sequence[Outlined]
    num_outlined: int
