"""Types and bounds of the benchmark's sections of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.section import Count, Section

MethodName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Option = float | int | str | bool


class MethodSpec(Section):
    """One method: a built-in name, or package.module.Class, with what its constructor takes."""

    use: str
    options: dict[str, Option] = Field(default_factory=dict)


class Deidentify(Section):
    """Which methods are applied to the validation images, and the passwords they get."""

    methods: Annotated[dict[MethodName, MethodSpec], Field(min_length=1)]
    password_dim: Count
    batch_size: Count
    shard_rows: Count
    seed: int


class EvaluateIdentity(Section):
    """Tables 5 and 6: recognisers that no training used, and what the faces are looked up in."""

    recognisers: Annotated[dict[str, str], Field(min_length=1)]
    other_public_faces: bool  # whether the gallery holds more public faces than the validation images' donors
    num_folds: Annotated[int, Field(ge=2)]
    bootstrap: Count
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    seed: int


class EvaluateUtility(Section):
    """Table 7: where the landmark predictor and the gaze networks lie; "" for the packaged one, and for none."""

    predictor: str
    gaze: str
    head_pose: str
    bootstrap: Count
    seed: int


class EvaluateReversibility(Section):
    """Table 8: the trunk of the perceptual distance; an empty SqueezeNet takes the classifier twin's."""

    squeezenet: str
    classifier: str
    bootstrap: Count
    seed: int


class EvaluateClinical(Section):
    """Table 4: the diseases that are compared, each against the rest."""

    diseases: Annotated[tuple[str, ...], Field(min_length=2)]
    num_readers: Count
    bootstrap: Count
    seed: int


class SignClassifierParams(Section):
    """How DINOv2 is fine-tuned; the rate falls by `layer_decay` from each layer to the one below."""

    image_size_px: Annotated[int, Field(ge=56)]
    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    check_every: Count


class SegmenterParams(Section):
    """nnU-Net's architecture: the channels of each level, and its training."""

    image_size_px: Annotated[int, Field(ge=32)]
    filters: Annotated[tuple[Count, ...], Field(min_length=3)]
    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]


class TrainJudges(Section):
    """The judges of medical utility: a folder, a hub name or a .pth file of DINOv2, and two trainings."""

    dinov2: str
    hub: str = ""
    classifier: SignClassifierParams
    segmenter: SegmenterParams
    bootstrap: Count
    seed: int


class EvaluateMedical(Section):
    """Table 3."""

    bootstrap: Count
    seed: int


class ReportBenchmark(Section):
    """The page on the benchmark."""

    title: str
