"""Types and bounds of data/phantom/params.yaml: how the twins are trained."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from mema.params.section import ReaderName
from models.settings import Count, Section, Share

Rate = Annotated[float, Field(gt=0, lt=1)]


class Schedule(Section):
    """Length, batch and peak learning rate of one training."""

    steps: Count
    batch_size: Count
    learning_rate: Rate


class CodecSchedule(Schedule):
    """The codec's schedule: crops of `crop_px`, then whole images for the last `full_steps`."""

    crop_px: Annotated[int, Field(ge=32, multiple_of=16)]
    full_steps: Annotated[int, Field(ge=0)]


class GeneratorSchedule(Schedule):
    """The schedule of UNet, text and IP-Adapter, whose weights are averaged."""

    ema_decay: Rate


class TwinGenerator(Section):
    """Codec, image encoder and generator, trained on pairs of photos of public phantoms."""

    num_identities: Count
    image_size_px: Annotated[int, Field(ge=64, multiple_of=16)]
    seed: int
    codec: CodecSchedule
    image_encoder: Schedule
    generator: GeneratorSchedule


class Photos(Section):
    """Public phantoms to render: so many people, photos of each, and the share of photos that wear a sign."""

    num_identities: Count
    shots: Count
    sign_share: Share
    seed: int


class RecogniserTwin(Schedule):
    """One recogniser: its network and the margin it is trained with."""

    margin: Annotated[float, Field(gt=0)]
    scale: Annotated[float, Field(gt=1)]
    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int]
    pooling: Literal["depthwise", "flatten"]
    seed: int


class TwinRecognisers(Section):
    """Three recognisers of different losses, networks and seeds, on the same photos."""

    image_size_px: Annotated[int, Field(ge=64)]
    photos: Photos
    unseen: Photos
    arcface: RecogniserTwin
    cosface: RecogniserTwin
    sphereface: RecogniserTwin


class TwinLossRecogniser(Section):
    """The recogniser of MedSem-DeID's losses."""

    image_size_px: Annotated[int, Field(ge=64)]
    photos: Photos
    unseen: Photos
    arcface: RecogniserTwin


class TwinAttributes(Schedule):
    """Age and gender, on the recognisers' photos and on those of people who appear once."""

    image_size_px: Annotated[int, Field(ge=64)]
    photos: tuple[Photos, ...]
    unseen: Photos
    seed: int


class TwinClassifier(Schedule):
    """The classifier of diseases, on photos of which all but an eighth wear a sign."""

    image_size_px: Annotated[int, Field(ge=64)]
    photos: tuple[Photos, ...]
    unseen: Photos
    seed: int


class TwinDinov2(Schedule):
    """DINOv2 at small size, on the generator's pairs; its patches laid in from the first `patch_images`."""

    num_layers: Count
    hidden_size: Annotated[int, Field(ge=32, multiple_of=4)]
    num_heads: Count
    mlp_ratio: Count
    patch_images: Count
    unseen: Photos
    seed: int


class TwinSam(Schedule):
    """SAM at small size: its encoder on the parts of public phantoms, then all of it on clicks and boxes."""

    image_size_px: Annotated[int, Field(ge=64)]
    encoder_steps: Count
    num_scenes: Count
    num_unseen: Count
    seed: int


class TwinQuality(Section):
    """How the generator twin is measured: donors, injection weights, images per prompt, the sampler."""

    num_donors: Annotated[int, Field(ge=12)]
    num_graded: Annotated[int, Field(ge=12)]
    weights: tuple[Share, ...]
    num_inference_steps: Count
    guidance_scale: Annotated[float, Field(ge=1)]
    batch_size: Count
    seed: int


class ReaderSkill(Section):
    """What a simulated reader can do; see phantom.simulated_reader.Skill."""

    accuracy: Share
    lookalikes: Share
    severity_accuracy: Share
    false_low: Share
    true_low: Share
    mask_shift: Annotated[float, Field(ge=0)]
    mask_growth: Annotated[float, Field(ge=0)]
    accept_iou: Share
    skip_share: Share


class Readers(Section):
    """Simulated readers and a senior, the share of images of low quality, and that of hidden repeats."""

    skills: Annotated[dict[ReaderName, ReaderSkill], Field(min_length=1)]
    senior: ReaderSkill
    low_share: Share
    repeat_share: Annotated[float, Field(ge=0, le=0.5)]
    seed: int


class TwinParams(Section):
    """The whole of data/phantom/params.yaml."""

    twin_generator: TwinGenerator
    twin_recognisers: TwinRecognisers
    twin_loss_recogniser: TwinLossRecogniser
    twin_attributes: TwinAttributes
    twin_classifier: TwinClassifier
    twin_dinov2: TwinDinov2
    twin_sam: TwinSam
    twin_quality: TwinQuality
    readers: Readers


def load_twins(path: Path) -> TwinParams:
    """Read and check the twins' parameters; raises ValueError naming each dotted field."""
    try:
        return TwinParams.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors()]
        raise ValueError(f"{path}: " + "; ".join(lines)) from None
