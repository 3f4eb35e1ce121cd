"""What the evaluate_* stages share: validation images and what methods made of them, streamed and paired by id."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from models.diffusion.images import decode
from tasks import shards

BATCH = 64
Values = dict[str, np.ndarray]
Measure = Callable[[np.ndarray], Values]
PairMeasure = Callable[[np.ndarray, np.ndarray], Values]


@dataclass(frozen=True, eq=False)
class Originals:
    """MeMa's validation split; a patient is a donor, for the face of the donor is whom an image may betray."""

    folder: Path
    image_ids: list[str]
    diseases: list[str]
    people: list[str]

    def images(self, image_ids: Sequence[str]) -> np.ndarray:
        """Return some of the images, in the order of the ids."""
        place = {image_id: row for row, image_id in enumerate(self.image_ids)}
        table = shards.take_rows(self.folder, [place[i] for i in image_ids], columns=["image"])
        return np.stack([decode(data) for data in table["image"].to_pylist()])


def read_originals(mema: Path) -> Originals:
    """Read the ids, diseases and donors of MeMa's validation split; raises ValueError where it is empty."""
    folder = mema / "val"
    table = shards.read_table(folder, columns=["image_id", "disease", "donor_id"])
    if not table.num_rows:
        raise ValueError(f"{folder}: holds no image, so nothing can be evaluated; run assemble again")
    columns = (table[name].to_pylist() for name in ("image_id", "disease", "donor_id"))
    return Originals(folder, *columns)


def methods_of(deidentified: Path) -> list[str]:
    """Return the methods that stand in the folder, by name; raises ValueError where there is none."""
    found = sorted(file.parent.name for file in deidentified.glob("*/method.json"))
    if not found:
        raise ValueError(f"{deidentified}: holds no method; run `dvc repro deidentify`")
    return found


def describe_row(folder: Path) -> dict[str, Any]:
    """Return the columns that say which method a row is about and what it was told."""
    return {
        "method": folder.name,
        "reversible": has_recovered(folder),
        "told_disease": json.loads((folder / "method.json").read_text())["told_disease"],
    }


def has_recovered(folder: Path) -> bool:
    """Tell whether a method gave every image back."""
    return shards.read_table(folder, columns=["recovered"])["recovered"].null_count == 0


def measure_images(
    folder: Path, image_ids: Sequence[str], measure: Measure, desc: str, column: str = "image"
) -> Values:
    """Return what `measure` says of a folder's images, each decoded once, in the order of `image_ids`.

    Raises ValueError where one of them is missing: a method that leaves images out must not gain by it.
    """

    def work(_: Sequence[str], images: np.ndarray) -> Values:
        return measure(images)

    return _measure(folder, image_ids, work, desc, column)


def measure_pairs(originals: Originals, folder: Path, measure: PairMeasure, desc: str, column: str) -> Values:
    """Return what `measure` says of each original and what stands for it in `column`, in the originals' order."""

    def work(image_ids: Sequence[str], images: np.ndarray) -> Values:
        return measure(originals.images(image_ids), images)

    return _measure(folder, originals.image_ids, work, desc, column)


def _measure(
    folder: Path,
    image_ids: Sequence[str],
    work: Callable[[Sequence[str], np.ndarray], Values],
    desc: str,
    column: str,
) -> Values:
    place = {image_id: row for row, image_id in enumerate(image_ids)}
    rows: list[int] = []
    parts: list[Values] = []
    with tqdm(total=len(place), desc=desc, unit=" images") as bar:
        for ids, encoded in _batches(folder, column, place.keys()):
            parts.append(work(ids, np.stack([decode(data) for data in encoded])))
            rows += [place[image_id] for image_id in ids]
            bar.update(len(ids))
    missing = len(place) - len(set(rows))
    if missing:
        raise ValueError(f"{folder}: {missing} of {len(place)} images lack `{column}`; run deidentify again")
    order = np.argsort(rows)
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _batches(folder: Path, column: str, wanted: Any) -> Iterator[tuple[list[str], list[bytes]]]:
    """Yield ids and encoded images of the rows that are wanted; each id once."""
    seen: set[str] = set()
    for file in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["image_id", column]):
            found = [
                (image_id, data)
                for image_id, data in zip(*(batch[c].to_pylist() for c in ("image_id", column)), strict=True)
                if image_id in wanted and image_id not in seen and data is not None
            ]
            seen.update(image_id for image_id, _ in found)
            if found:
                yield [image_id for image_id, _ in found], [data for _, data in found]
