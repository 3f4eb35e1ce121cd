"""Sections of params.yaml of the synthesis: from photographs to a screened set and its report."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mema.params.section import ShellWord
from models.diffusion.settings import LoraSettings
from models.settings import Count, Section, Share


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
            raise ValueError(f"profile_cohort.age_edges: {list(self.age_edges)} must be two or more growing years")
        return self


class Generator(Section):
    """Which pretrained pipeline, IP-Adapter and precision the generation uses."""

    path: str
    ip_adapter: str
    hub: str = ""
    ip_adapter_hub: str = ""
    sha256: dict[str, str] = Field(default_factory=dict)


class TrainLora(LoraSettings):
    """Step 1: LoRA fine-tuning of the generator on the patients."""


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


class Report(Section):
    """What the report page may show."""

    show_patients: bool
    title: str


class Attributes(Section):
    """Where DeepFace finds its age and gender networks."""

    deepface_home: str


class Inputs(Section):
    """Folders that the first stages and the screen read: patients, public faces, recognisers."""

    patients: ShellWord
    public: ShellWord
    recognisers: ShellWord
    annotations: ShellWord
