"""A MeMa and a MeMa-Seg of a few tiny faces, and judges trained on them for a step or two."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mema.runtime import shards
from models.diseases import DISEASES
from models.images import encode_png, image_id
from models.segmentation.masks import encode_mask
from tasks import schemas
from tasks.deidentify.train_judges import TrainJudges
from tests.toys.dinov2 import save_dinov2

PATHS = (Path("mema"), Path("mema_seg"), Path("judges"), Path("train_judges.json"))
NUM_SEG = {"train": 4, "val": 3}


def section(dinov2: Path) -> TrainJudges:
    """Return parameters of a few steps, around a toy DINOv2 at `dinov2`."""
    classifier = {
        "image_size_px": 96, "steps": 2, "batch_size": 4, "learning_rate": 1e-3, "layer_decay": 0.8,
        "weight_decay": 0.05, "label_smoothing": 0.0, "check_every": 1,
    }  # fmt: skip
    segmenter = {"image_size_px": 64, "filters": [4, 4, 4, 4], "steps": 2, "batch_size": 2, "learning_rate": 1e-3}
    values = {"dinov2": str(dinov2), "classifier": classifier, "segmenter": segmenter}
    return TrainJudges.model_validate(values | {"bootstrap": 50, "seed": 7})


def face(rng: np.random.Generator) -> np.ndarray:
    """Return a 96-px picture of noise."""
    return rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)


def write_world(num_seg: dict[str, int] = NUM_SEG) -> None:
    """Write mema/{train,select,val} and mema_seg/{train,val} into the working folder; seg val is part of val."""
    rng = np.random.default_rng(0)
    val: list[np.ndarray] = []
    for split, each in (("train", 2), ("select", 1), ("val", 2)):
        diseases = list(DISEASES) * each
        images = [face(rng) for _ in diseases]
        write_split(Path("mema") / split, schemas.MEMA, images, {"disease": diseases, "planned_disease": diseases})
        val = images
    for split, num in num_seg.items():
        images = val[:num] if split == "val" else [face(rng) for _ in range(num)]
        masks = [np.zeros((96, 96), bool) for _ in images]
        for k, mask in enumerate(masks):
            mask[20 : 40 + k, 30:60] = True
        values = {"mask": [encode_mask(mask) for mask in masks]}
        write_split(Path("mema_seg") / split, schemas.MEMA_SEG, images, values)


def write_split(folder: Path, schema: pa.Schema, images: list[np.ndarray], values: dict[str, list]) -> None:
    """Write shards of five rows, empty where `values` says nothing."""
    values = values | {
        "image_id": [image_id(image) for image in images],
        "image": [encode_png(image) for image in images],
    }
    columns = {name: values.get(name, [None] * len(images)) for name in schema.names}
    shards.write_shards(pa.table(columns, schema=schema), folder, shard_rows=5)


def toy_pretrained(folder: Path) -> Path:
    """Return the folder of a toy DINOv2 written below `folder`."""
    return save_dinov2(folder / "dinov2")
