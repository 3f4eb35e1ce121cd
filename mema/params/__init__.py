"""Types and bounds of params.yaml: one frozen model per stage, a typo fails before any work."""

import os
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails

from mema.params.annotate import Annotate, Annotations, Assemble, Prelabel, ReportReaders
from mema.params.deidentify import (
    Deidentify,
    EvaluateAblation,
    EvaluateClinical,
    EvaluateIdentity,
    EvaluateMedical,
    EvaluateReversibility,
    EvaluateUtility,
    ReportBenchmark,
    TrainDeid,
    TrainJudges,
    TrainMedicalEncoder,
)
from mema.params.hospital import ZONE, DeidFiles, Release, ReleaseKey
from mema.params.section import PHANTOMS
from mema.params.synthesize import (
    Attributes,
    Cohort,
    Generator,
    IngestPatients,
    IngestPublic,
    Inputs,
    PlanSampling,
    ProfileCohort,
    RecheckIdentity,
    Report,
    Sample,
    ScreenIdentity,
    Select,
    TrainLora,
)
from models.settings import Section

PARAMS = Path("params.yaml")
Kind = Literal["phantom", "photos", "paper"]
KINDS: tuple[str, ...] = get_args(Kind)


class Params(Section):
    """The whole of params.yaml."""

    profile: Kind
    inputs: Inputs
    cohort: Cohort | None = None
    attributes: Attributes
    release: Release
    release_key: ReleaseKey
    generator: Generator
    ingest_patients: IngestPatients
    ingest_public: IngestPublic
    profile_cohort: ProfileCohort
    train_lora: TrainLora
    plan_sampling: PlanSampling
    sample: Sample
    screen_identity: ScreenIdentity
    recheck_identity: RecheckIdentity
    select: Select
    prelabel: Prelabel
    annotate: Annotate
    annotations: Annotations
    assemble: Assemble
    train_medical_encoder: TrainMedicalEncoder
    train_deid: TrainDeid
    train_judges: TrainJudges
    deidentify: Deidentify
    evaluate_medical: EvaluateMedical
    evaluate_identity: EvaluateIdentity
    evaluate_utility: EvaluateUtility
    evaluate_reversibility: EvaluateReversibility
    evaluate_ablation: EvaluateAblation
    evaluate_clinical: EvaluateClinical
    report_benchmark: ReportBenchmark
    deid_files: DeidFiles
    report_readers: ReportReaders
    report: Report

    @model_validator(mode="after")
    def _recognisers_are_tracked(self) -> Self:
        """DVC follows the folder of the recognisers, so a network outside it would change unnoticed."""
        asked = {"screen_identity": self.screen_identity, "evaluate_identity": self.evaluate_identity}
        for section, values in asked.items():
            for name, path in values.recognisers.items():
                if not Path(path).is_relative_to(self.inputs.recognisers):
                    raise ValueError(
                        f"{section}.recognisers.{name}: {path!r} lies outside inputs.recognisers "
                        f"({self.inputs.recognisers!r}); move the file there"
                    )
        return self

    @model_validator(mode="after")
    def _published_key_is_for_phantoms(self) -> Self:
        """A key that everybody knows hides nobody; the inputs decide, since a profile is soon renamed."""
        if self.release_key.published and not (
            self.profile == "phantom" and Path(os.path.normpath(self.inputs.patients)).is_relative_to(PHANTOMS)
        ):
            raise ValueError(
                f"release_key.published: everybody knows this key, and profile {self.profile} with inputs.patients "
                f"{self.inputs.patients!r} is not of phantoms ({PHANTOMS}); remove it and set release_key.path to "
                f"{ZONE / 'release.key'}"
            )
        return self

    @model_validator(mode="after")
    def _recheck_is_no_screen(self) -> Self:
        """A recogniser that screened finds nobody among what it let pass."""
        screens, own = self.screen_identity.recognisers, self.recheck_identity
        if own.name in screens or os.path.normpath(own.recogniser) in map(os.path.normpath, screens.values()):
            raise ValueError(
                f"recheck_identity: {own.name} ({own.recogniser}) is among screen_identity.recognisers; name a "
                "recogniser that does not screen"
            )
        return self

    @model_validator(mode="after")
    def _faces_have_one_size(self) -> Self:
        """What is trained on patients' faces draws MeMa's; a stage days later would refuse another size."""
        size = self.ingest_patients.image_size_px
        for section, other in (("ingest_public", self.ingest_public), ("train_deid", self.train_deid)):
            if other.image_size_px != size:
                raise ValueError(
                    f"{section}.image_size_px: {other.image_size_px}, but ingest_patients.image_size_px is {size}; "
                    "set them alike"
                )
        return self


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml; raises ValueError that names each dotted field and its bound."""
    if not path.exists():
        raise ValueError(f"{path}: not found; `mema profile NAME` writes it, `mema profile` lists the names")
    return check(yaml.safe_load(path.read_text()), path)


def check(document: Any, path: Path) -> Params:
    """Check what a file holds; raises ValueError that names each dotted field and its bound."""
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        lines = [_message(item) for item in error.errors()]
        raise ValueError(f"{path}: " + "; ".join(lines)) from None


def _message(item: ErrorDetails) -> str:
    """Return 'sample.num_imgs: extra inputs are not permitted', or a check's own words, which may name the field."""
    own, field = item.get("ctx", {}).get("error"), ".".join(map(str, item["loc"]))
    if not own:
        return f"{field}: {item['msg'].lower()}"
    return str(own) if str(own).startswith(field) else f"{field}: {own}"
