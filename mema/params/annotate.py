"""Sections of params.yaml on the clinicians: what they are shown, and what becomes of what they said."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mema.params.section import Disease, ReaderName
from models.settings import Count, Section, Share


class Prelabel(Section):
    """SAM's embeddings and first masks, for the images on which a tumour is to be outlined."""

    sam: str
    hub: str = ""
    outline_share: Share
    lesion_diseases: tuple[Disease, ...]
    batch_size: Count
    shard_rows: Count
    seed: int


class Annotate(Section):
    """Who reads what in Label Studio; blinded readers, each in a project of his own."""

    readers: Annotated[tuple[ReaderName, ...], Field(min_length=1)]
    senior: ReaderName
    show_intended_label: bool
    repeat_share: Annotated[float, Field(ge=0, le=0.5)]
    seed: int

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [*self.readers, self.senior]
        if len(set(names)) < len(names):
            raise ValueError(f"annotate.readers: {', '.join(names)} (the senior last) are not all different")
        return self


class Annotations(Section):
    """What the stage passes on: how much may be unusable, and whether readers may be still at work."""

    max_unusable: Share
    allow_incomplete: bool


class Assemble(Section):
    """MeMa's splits, and MeMa-Seg."""

    proportions: tuple[Count, Count, Count]
    mask_diseases: tuple[Disease, ...]  # whose outlines MeMa keeps
    lesion_disease: Disease  # MeMa-Seg's
    num_seg_train: Annotated[int, Field(ge=0)]
    num_seg_val: Annotated[int, Field(ge=0)]
    mask_consensus: Literal["majority", "staple"]
    max_deviation: Annotated[float, Field(ge=1)]  # images off a class's exact share of a split
    bootstrap: Count
    seed: int

    @model_validator(mode="after")
    def _seg_has_masks(self) -> Self:
        if self.lesion_disease not in self.mask_diseases:
            raise ValueError(
                f"assemble.mask_diseases: {', '.join(self.mask_diseases) or 'none'}, without MeMa-Seg's "
                f"{self.lesion_disease} (assemble.lesion_disease); name it too"
            )
        return self


class ReportReaders(Section):
    """The page on what the readers said."""

    title: str
    num_examples: Annotated[int, Field(ge=1, le=12)]  # per disease
