"""Types and bounds of the sections of params.yaml on the medical encoder and the ablation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.section import Count, Section

Weight = Annotated[float, Field(ge=0)]
Model = Literal["M1", "M2", "M3", "M4", "full"]


class DiffusionKind(Section):
    """The paper's encoder; how it is tuned stands in train_lora, but for the epochs."""

    epochs: Count
    timestep: Annotated[int, Field(ge=0, le=999)]
    prompt: str


class VitKind(Section):
    """Both transformers of Table 10; the sizes count where `pretrained` (a folder or a hub name) is empty."""

    pretrained: str
    patch_px: Count
    width: Count
    num_layers: Count
    num_heads: Count
    mlp_width: Count
    mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    precision: Literal["fp32", "bf16"]
    checkpoint_every: Count
    seed: int

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(
                f"train_medical_encoder.vit.num_heads: {self.num_heads} does not divide width {self.width}"
            )
        return self


class TrainMedicalEncoder(Section):
    """Which network is Enc_med; `own` goes to an encoder that a file of one's own adds."""

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    diffusion: DiffusionKind
    vit: VitKind
    own: dict[str, Any] = Field(default_factory=dict)


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
