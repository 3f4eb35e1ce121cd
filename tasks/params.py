"""Types and bounds of params.yaml: one frozen model per stage, a typo fails before any work."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tasks.benchmark_params import (
    Deidentify,
    EvaluateClinical,
    EvaluateIdentity,
    EvaluateMedical,
    EvaluateReversibility,
    EvaluateUtility,
    ReportBenchmark,
    TrainJudges,
)
from tasks.deid_params import DeidFiles, TrainDeid
from tasks.encoder_params import EvaluateAblation, TrainMedicalEncoder
from tasks.release_params import ZONE, Release, ReleaseKey
from tasks.section import Count, Section, Share

Disease = Literal["normal", "bcc", "conjunctivitis", "uveitis", "ptosis", "scc", "strabismus", "tao"]
PHANTOMS = Path("data/phantom")
ReaderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


def _whole_between_quotes(path: str) -> str:
    if found := [character for character in '"$`\\\n' if character in path]:
        raise ValueError(
            f"{path!r} holds {found[0]!r}, which the shell that runs a stage would read; blanks and any letters are "
            "fine: rename the folder, or link to it by another name"
        )
    return path


ShellWord = Annotated[
    str, Field(min_length=1), AfterValidator(_whole_between_quotes)
]  # in dvc.yaml between ""


class Cohort(Section):
    """Phantom inputs: how many patients and public faces, and how they are distributed."""

    num_patients: Count
    num_public: Count
    image_size_px: Annotated[int, Field(ge=64)]
    seed: int


class Ingest(Section):
    """Checks and alignment of photographs, for patients and the public alike."""

    detector: Literal["aligned", "dlib", "ultraface", "insightface"]
    detector_path: str = ""
    image_size_px: Annotated[int, Field(ge=64)]
    min_size_px: Count
    max_megapixels: Annotated[float, Field(gt=0)]
    max_aspect: Annotated[float, Field(ge=1)]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=64)]
    shard_rows: Count


class IngestPatients(Ingest):
    """Patients' photos with their record table."""

    held_out_share: Share
    glob: str = "photos/**/*"
    records: str = "records.csv"


class IngestPublic(Ingest):
    """Public faces, split into donors, threshold calibration and the floor of Table 1."""

    calibration_share: Share
    floor_share: Share
    glob: str = "photos/**/*"


class ProfileCohort(Section):
    """The patients' statistics that may be published, and what they may tell of one patient."""

    age_edges: tuple[int, ...]
    min_cell: Count
    attributes: Literal["records", "estimated"]
    epsilon: Annotated[float, Field(gt=0, le=10)]
    joint_share: Annotated[float, Field(ge=0, lt=1)]  # of epsilon; 0: the joint is the margins' product
    max_epsilon: Annotated[float, Field(gt=0)]  # over all versions; phantoms' are not counted

    @model_validator(mode="after")
    def _one_version_fits(self) -> Self:
        if self.epsilon > self.max_epsilon:
            raise ValueError(
                f"profile_cohort.epsilon: {self.epsilon:g} is above max_epsilon ({self.max_epsilon:g}), so no version "
                "could be made; lower it"
            )
        if list(self.age_edges) != sorted(set(self.age_edges)) or len(self.age_edges) < 2:
            raise ValueError(
                f"profile_cohort.age_edges: {list(self.age_edges)} must be two or more growing years"
            )
        return self


class Generator(Section):
    """Which pretrained pipeline, IP-Adapter and precision the generation uses."""

    path: str
    ip_adapter: str
    hub: str = ""
    ip_adapter_hub: str = ""
    sha256: dict[str, str] = Field(default_factory=dict)


class TrainLora(Section):
    """Step 1: LoRA fine-tuning of the generator on the patients."""

    rank: Count
    alpha: Annotated[float, Field(gt=0)]
    targets: Literal["attention", "attention+convolutions"]
    learning_rate: Annotated[float, Field(gt=0)]
    betas: tuple[float, float]
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    batch_size: Count
    epochs: Count
    warmup_steps: Annotated[int, Field(ge=0)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    caption_dropout: Share
    precision: Literal["fp32", "bf16", "fp16"]
    checkpoint_every: Count
    grid_every: Annotated[int, Field(ge=0)]
    seed: int


class PlanSampling(Section):
    """Step 2 on paper: how many images of which arm, with which injection weights."""

    num_images: Count
    num_direct: Annotated[int, Field(ge=0)]
    num_random: Annotated[int, Field(ge=0)]
    num_strips: Annotated[int, Field(ge=0)]
    over_generation: Annotated[float, Field(ge=1)]
    injection_weight: tuple[Share, Share]
    max_donor_uses: Annotated[int, Field(ge=0)]
    seed: int

    @model_validator(mode="after")
    def _weights_are_a_range(self) -> Self:
        low, high = self.injection_weight
        if low > high:
            raise ValueError(
                f"plan_sampling.injection_weight: [{low}, {high}] is no range; give the smaller weight first"
            )
        return self


class Sample(Section):
    """Step 2: how the plan is executed."""

    num_inference_steps: Count
    guidance_scale: Annotated[float, Field(ge=1)]
    batch_size: Count
    shard_rows: Count
    precision: Literal["fp32", "bf16", "fp16"]


class ScreenIdentity(Section):
    """Step 3: the identity screen and Table 1."""

    recognisers: dict[str, str]
    fpir: Annotated[float, Field(gt=0, le=0.01)]
    block_rows: Count
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    bootstrap: Count  # resamples of the calibration faces
    seed: int


class RecheckIdentity(Section):
    """The recogniser that judges what was selected, and had no part in the choice."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    recogniser: Annotated[str, Field(min_length=1)]


class Select(Section):
    """Exact quotas from what survived the screen, and Table 2."""

    num_images: Count
    max_shortfall: Share
    bootstrap: Count
    judge_diseases: bool  # by the classifier, which knows the signs of phantoms only
    classifier: str
    seed: int


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


class Report(Section):
    """What the report page may show."""

    show_patients: bool
    title: str


class ReportReaders(Section):
    """The page on what the readers said."""

    title: str
    num_examples: Annotated[int, Field(ge=1, le=12)]  # per disease


class Attributes(Section):
    """Where DeepFace finds its age and gender networks."""

    deepface_home: str


class Inputs(Section):
    """Folders that the first stages and the screen read: patients, public faces, recognisers."""

    patients: ShellWord
    public: ShellWord
    recognisers: ShellWord
    annotations: ShellWord


class Params(Section):
    """The whole of params.yaml."""

    profile: Literal["phantom", "photos", "paper"]
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
            self.profile == "phantom"
            and Path(os.path.normpath(self.inputs.patients)).is_relative_to(PHANTOMS)
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


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml; raises ValueError that names each dotted field and its bound."""
    if not path.exists():
        raise ValueError(f"{path}: not found; copy one of profiles/*.yaml there")
    try:
        return Params.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        lines = [_message(item) for item in error.errors()]
        raise ValueError(f"{path}: " + "; ".join(lines)) from None


def _message(item: ErrorDetails) -> str:
    """Return 'sample.num_imgs: extra inputs are not permitted', or a check's own words as they are."""
    own = item.get("ctx", {}).get("error")
    return str(own) if own else f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}"
