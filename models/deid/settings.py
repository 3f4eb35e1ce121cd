"""How MedSem-DeID and the transformers among its medical encoders are trained: declared once."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.settings import Count, Section


class VitOptions(Section):
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


class DeidSettings(Section):
    """How MedSem-DeID is trained; the paper's values stand in profiles/base.yaml."""

    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    halve_at: tuple[Count, ...]
    betas: tuple[float, float]
    max_grad_norm: Annotated[float, Field(gt=0)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    lambda_med: Annotated[float, Field(ge=0)]
    lambda_rev: Annotated[float, Field(ge=0)]
    lambda_gan: Annotated[float, Field(ge=0)]
    cosine_floor: Annotated[float, Field(ge=-1, lt=1)]
    phi_jitter: Annotated[float, Field(ge=0, lt=0.5)]
    discriminator_width: Count
    discriminator_rate: Annotated[float, Field(gt=0)]
    slope_weight: Annotated[float, Field(ge=0)]
    precision: Literal["fp32", "bf16"]
    checkpoint_every: Count
    grid_every: Annotated[int, Field(ge=0)]
    seed: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: halved at each of `halve_at`."""
        return self.learning_rate * 0.5 ** sum(step >= place for place in self.halve_at)
