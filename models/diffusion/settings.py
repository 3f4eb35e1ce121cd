"""How LoRA is trained: declared once, for params.yaml and for the training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.settings import Count, Section, Share


class LoraSettings(Section):
    """How the LoRA is trained; `batch_size` is what one step sees, whatever the accumulation."""

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

    @model_validator(mode="after")
    def _no_small_gradient_is_lost(self) -> Self:
        if self.precision == "fp16":
            raise ValueError("train_lora.precision: fp16 loses small gradients; allowed: bf16, fp32")
        return self

    def num_steps(self, num_photos: int) -> int:
        """Return the whole steps in which photos are seen `epochs` times (paper: 12,288 steps of 32)."""
        return max(1, self.epochs * num_photos // self.batch_size)
