"""Sections of params.yaml on MedSem-DeID and the benchmark."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mema.params.section import MethodName, Option
from models.deid.settings import DeidSettings, VitOptions
from models.settings import Count, Section, Weight

Model = Literal["M1", "M2", "M3", "M4", "full"]


class DiffusionKind(Section):
    """The paper's encoder; how it is tuned stands in train_lora, but for the epochs."""

    epochs: Count
    timestep: Annotated[int, Field(ge=0, le=999)]
    prompt: str


class TrainMedicalEncoder(Section):
    """Which network is Enc_med; `own` goes to an encoder that a file of one's own adds."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    diffusion: DiffusionKind
    vit: VitOptions
    own: dict[str, Any] = Field(default_factory=dict)


class DeidNetworks(Section):
    """Sizes of MedSem-DeID's ciphers and of the image decoder's head; see models.deid.networks.DeidConfig."""

    width: Count
    password_dim: Count
    num_layers: Count
    num_heads: Count
    mlp_width: Count
    head_width: Count
    num_eigenfaces: Annotated[int, Field(ge=0)]


class TrainDeid(DeidSettings):
    """MedSem-DeID's training; `use_f_med` and `lambda_med` 0 give the models of Table 9."""

    domain: Literal["drawn", "photograph"]  # what MeMa's pictures are, which the generator decides
    loss_recogniser: str
    image_size_px: Annotated[int, Field(ge=64, multiple_of=32)]
    use_f_med: bool
    networks: DeidNetworks


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


class EvaluateMedical(Section):
    """Table 3."""

    bootstrap: Count
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


class EvaluateAblation(Section):
    """Which models of Table 9, encoders of Table 10 and weights of Fig. 8 are trained, each for `steps` steps."""

    models: tuple[Model, ...]
    encoders: tuple[str, ...]
    lambda_med: tuple[Weight, ...]
    lambda_rev: tuple[Weight, ...]
    steps: Count
    recogniser: str
    bootstrap: Count
    seed: int

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if not (self.models or self.encoders or self.lambda_med or self.lambda_rev):
            raise ValueError(
                "evaluate_ablation: models, encoders, lambda_med and lambda_rev are all empty; name one at least"
            )
        return self


class ReportBenchmark(Section):
    """The page on the benchmark."""

    title: str
