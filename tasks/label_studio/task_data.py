"""What the server gets of an image: a file, and a task that does not tell the intended disease."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from tasks import shards
from tasks.label_studio.places import SERVED_LINK
from tasks.label_studio.reading import PlannedTask

OUTLINE = "If you see a tumour, outline it."
NO_OUTLINE = "No outline needed."


@dataclass(frozen=True)
class Notes:
    """What a task says of its image beyond the picture."""

    outline: bool = False
    intended: str = ""  # empty when blind
    first_mask: bytes = field(default=b"", repr=False)  # likewise

    @property
    def text(self) -> str:
        """One line for the reader."""
        note = OUTLINE if self.outline else NO_OUTLINE
        return f"{note} Intended: {self.intended}." if self.intended else note


def read_notes(images: Path, subset: Path | None, *, show_intended: bool) -> dict[str, Notes]:
    """Return what each image's tasks say, in the table's order; without a `subset` no outline is wanted."""
    columns = ["image_id", "disease"] if show_intended else ["image_id"]
    rows = shards.read_table(images, columns).to_pylist()
    drawn = shards.read_table(subset, ["image_id", "outline", "first_mask"]).to_pylist() if subset else []
    wanted = {row["image_id"]: row for row in drawn}
    notes = {}
    for row in rows:
        outline, mask = False, b""
        if row["image_id"] in wanted:
            outline = bool(wanted[row["image_id"]]["outline"])
            mask = wanted[row["image_id"]]["first_mask"] or b""
        notes[row["image_id"]] = Notes(outline, row["disease"], mask) if show_intended else Notes(outline)
    return notes


def task_body(task: PlannedTask, notes: Notes) -> dict[str, Any]:
    """Return a task as the server imports it; the first mask goes along only where the disease is shown."""
    data = {
        "image": f"/data/local-files/?d={SERVED_LINK}/{task.image_id}.png",
        "image_id": task.image_id,
        "key": task.key,
        "task_note": notes.text,
    }
    if not notes.first_mask:
        return {"data": data}
    return {"data": data, "predictions": [_prediction(task.key, notes.first_mask)]}


def _prediction(key: str, png: bytes) -> dict[str, Any]:
    from models.segmentation.masks import decode_mask
    from tasks.label_studio.brush import brush_region

    region = brush_region(key[:10], decode_mask(png), 1.0)
    return {"model_version": "first mask", "result": [region]}


def write_images(images: Path, folder: Path, only: Container[str] | None = None) -> None:
    """Write each image as <image_id>.png, but those that are there in equal size; a kill leaves none cut."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [images] if images.is_file() else sorted(images.glob("*.parquet"))
    with tqdm(desc="Images", unit=" images") as progress:
        for image_id, png in _rows(files):
            path = folder / f"{image_id}.png"
            there = path.exists() and path.stat().st_size == len(png)
            if not there and (only is None or image_id in only):
                temporary = folder / f".{image_id}.tmp"
                temporary.write_bytes(png)
                temporary.replace(path)
            progress.update()


def _rows(files: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(256, columns=["image_id", "image"]):
            yield from zip(batch["image_id"].to_pylist(), batch["image"].to_pylist(), strict=True)


def pictures(kept: Path, selected: Path, diseases: Iterable[str]) -> dict[str, bytes]:
    """Return one picture per disease for the instructions, of images that nobody will have to judge."""
    judged = set(shards.read_table(selected, ["image_id"])["image_id"].to_pylist())
    table = shards.read_table(kept, ["image_id", "disease"])
    spare: dict[str, str] = {}
    for image_id, disease in zip(table["image_id"].to_pylist(), table["disease"].to_pylist(), strict=True):
        if image_id not in judged:
            spare.setdefault(disease, image_id)
    wanted = {image_id: disease for disease, image_id in spare.items() if disease in set(diseases)}
    return {
        wanted[image_id]: png for image_id, png in _rows(sorted(kept.glob("*.parquet"))) if image_id in wanted
    }
