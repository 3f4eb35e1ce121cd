"""What the evaluate_* stages share: validation images and what methods made of them, streamed and paired by id."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mema.runtime import shards
from models.images import decode
from tasks.works.measuring import Measure, Values, measure_rows


@dataclass(frozen=True, eq=False)
class Originals:
    """MeMa's validation split; a patient is a donor, for the face of the donor is whom an image may betray.

    Donors have the release's pseudonyms.
    """

    folder: Path
    image_ids: list[str]
    diseases: list[str]
    people: list[str]

    def images(self, image_ids: Sequence[str]) -> np.ndarray:
        """Return some of the images, in the order of the ids."""
        place = {image_id: row for row, image_id in enumerate(self.image_ids)}
        return np.stack([decode(data) for data in self.encoded([place[i] for i in image_ids]).to_pylist()])

    def encoded(self, rows: list[int]) -> pa.ChunkedArray:
        """Return some of the images as they are stored."""
        return shards.take_rows(self.folder, rows, columns=["image"])["image"]


def read_originals(mema: Path) -> Originals:
    """Read the ids, diseases and donors of MeMa's validation split; raises ValueError where it is empty."""
    folder = mema / "val"
    table = shards.read_table(folder, columns=["image_id", "disease", "donor_pseudonym"])
    if not table.num_rows:
        raise ValueError(f"{folder}: holds no image, so nothing can be evaluated; run assemble again")
    columns = (table[name].to_pylist() for name in ("image_id", "disease", "donor_pseudonym"))
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
    folder: Path,
    image_ids: Sequence[str],
    measure: Measure,
    *,
    networks: Sequence[Path],
    stage: str,
    desc: str,
    column: str = "image",
) -> Values:
    """Return what `measure` says of a folder's images, each decoded once, in the order of `image_ids`.

    `networks` are the files that the measure loads. Raises ValueError where an image is missing: a method that
    leaves images out must not gain by it.
    """
    rows = _rows_of(folder, image_ids, column)

    def gather(part: list[int]) -> pa.Table:
        return shards.take_rows(folder, part, [column]).rename_columns(["image"])

    return measure_rows(rows, gather, measure, inputs=(folder, *networks), stage=stage, desc=desc, source=column)


def measure_pairs(
    originals: Originals,
    folder: Path,
    measure: Measure,
    *,
    networks: Sequence[Path],
    stage: str,
    desc: str,
    column: str,
) -> Values:
    """Return what `measure` says of each original and what stands for it in `column`, in the originals' order."""
    rows = _rows_of(folder, originals.image_ids, column)

    place = {row: number for number, row in enumerate(rows)}

    def gather(part: list[int]) -> pa.Table:
        made = shards.take_rows(folder, part, [column])
        return pa.table({"original": originals.encoded([place[row] for row in part]), "made": made[column]})

    return measure_rows(
        rows, gather, measure, inputs=(folder, originals.folder, *networks), stage=stage, desc=desc,
        columns=("original", "made"), source=column,
    )  # fmt: skip


def _rows_of(folder: Path, image_ids: Sequence[str], column: str) -> list[int]:
    """Return where in a folder's shards each image is; raises ValueError where one is missing or null."""
    place: dict[str, int] = {}
    start = 0
    for file in sorted(folder.glob("*.parquet")):
        table = pq.ParquetFile(file).read(columns=["image_id", column])
        for row, (image_id, valid) in enumerate(
            zip(table["image_id"].to_pylist(), table[column].is_valid().to_pylist(), strict=True), start
        ):
            if valid:
                place.setdefault(image_id, row)
        start += table.num_rows
    missing = sum(image_id not in place for image_id in image_ids)
    if missing:
        raise ValueError(f"{folder}: {missing} of {len(image_ids)} images lack `{column}`; run deidentify again")
    return [place[image_id] for image_id in image_ids]
