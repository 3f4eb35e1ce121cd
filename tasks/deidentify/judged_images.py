"""MeMa and MeMa-Seg as the judges take them, and the images that a method made of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mema.runtime.shards import plain, read_table, shard_files
from models.diseases import DISEASES
from models.images import decode
from models.judges.lesion_segmenter import OutlinedFaces
from models.judges.sign_classifier import Faces, resized
from models.segmentation.masks import decode_mask

BATCH = 64
Image = np.ndarray


def faces(split: Path, size_px: int) -> Faces:
    """Return a split of MeMa at `size_px`, in memory: 5 GB for the paper's 34,000 at 224 px."""
    images, diseases = [], []
    for file in shard_files(split):
        table = read_table(file, columns=["image", "disease"])
        images += [resized(decode(data), size_px) for data in table["image"].to_pylist()]
        diseases += table["disease"].to_pylist()
    return Faces(
        np.array(images, np.uint8).reshape(-1, size_px, size_px, 3),
        np.array([DISEASES.index(name) for name in diseases], np.int64),
    )


def outlined(split: Path, size_px: int) -> OutlinedFaces:
    """Return a split of MeMa-Seg at `size_px`, with the readers' outlines."""
    table = read_table(split, columns=["image", "mask"])
    images = [resized(decode(data), size_px) for data in table["image"].to_pylist()]
    masks = [resized_mask(decode_mask(data), size_px) for data in table["mask"].to_pylist()]
    return OutlinedFaces(
        np.array(images, np.uint8).reshape(-1, size_px, size_px, 3), np.array(masks, bool).reshape(-1, size_px, size_px)
    )


def resized_mask(mask: np.ndarray, size_px: int) -> np.ndarray:
    """Return the mask at size_px x size_px: on where at least half of the area is."""
    return resized(mask.astype(np.uint8) * 255, size_px) > 127


def batches(folder: Path) -> Iterator[tuple[list[str], list[Image]]]:
    """Yield the ids and RGB images of a folder's shards, at most BATCH at a time."""
    for file in shard_files(folder):
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["image_id", "image"]):
            part = plain(pa.Table.from_batches([batch]))
            yield part["image_id"].to_pylist(), [decode(data) for data in part["image"].to_pylist()]


def check_complete(method: str, folder: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    """Raise ValueError with the numbers of the images that the method lacks, or has twice.

    A number is the image's row in the split, from 0: ids say nothing to a reader.
    """
    seen = set(found)
    missing = [row for row, name in enumerate(wanted) if name not in seen]
    if missing:
        rows = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise ValueError(
            f"{folder}: {method} lacks {len(missing)} of {len(wanted)} images (rows {rows}); "
            "run the stage deidentify again, or add them to the folder"
        )
    if len(found) > len(seen):
        raise ValueError(f"{folder}: {method} has {len(found) - len(seen)} images twice; keep one row an image")
