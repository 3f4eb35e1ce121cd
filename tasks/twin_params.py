"""Types and bounds of data/phantom/params.yaml: how the twins are trained."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from tasks.params import Count, Section

Rate = Annotated[float, Field(gt=0, lt=1)]


class Schedule(Section):
    """Length, batch and peak learning rate of one training."""

    steps: Count
    batch_size: Count
    learning_rate: Rate


class GeneratorSchedule(Schedule):
    """The schedule of UNet, text and IP-Adapter, whose weights are averaged."""

    ema_decay: Rate


class TwinGenerator(Section):
    """Codec, image encoder and generator, trained on pairs of photos of public phantoms."""

    num_identities: Count
    image_size_px: Annotated[int, Field(ge=64, multiple_of=16)]
    seed: int
    codec: Schedule
    image_encoder: Schedule
    generator: GeneratorSchedule


class TwinParams(Section):
    """The whole of data/phantom/params.yaml."""

    twin_generator: TwinGenerator


def load_twins(path: Path) -> TwinParams:
    """Read and check the twins' parameters; raises ValueError naming each dotted field."""
    try:
        return TwinParams.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors()]
        raise ValueError(f"{path}: " + "; ".join(lines)) from None
