"""What the server gets of an image: a file and a task that tell neither the disease nor which image it is."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from mema.label_studio.exchange.reading import PlannedTask
from mema.label_studio.server.places import SERVED_LINK
from mema.runtime import shards
from models.images import decode, encode_png

OUTLINE = "If you see a tumour, outline it."
NO_OUTLINE = "No outline needed."
DATE = 946_684_800  # 2000-01-01, in seconds
PNG_SIGNATURE, END_BYTES = b"\x89PNG\r\n\x1a\n", 12  # IEND: no length to speak of, its name, its checksum
PADDING_BYTES, MAX_PADDING_BYTES = 16, 4096
IMAGE_ID_LENGTH = 64


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
    data = {"image": f"/data/local-files/?d={SERVED_LINK}/{task.key}.png", "key": task.key, "task_note": notes.text}
    if not notes.first_mask:
        return {"data": data}
    return {"data": data, "predictions": [_prediction(task.key, notes.first_mask)]}


def _prediction(key: str, png: bytes) -> dict[str, Any]:
    from mema.label_studio.sam.brush import brush_region
    from models.segmentation.masks import decode_mask

    region = brush_region(key[:10], decode_mask(png), 1.0)
    return {"model_version": "first mask", "result": [region]}


def write_pictures(images: Path, folder: Path, keys: Mapping[str, Sequence[str]]) -> None:
    """Write a picture for each task, as <key>.png, but those that are there in equal size; a kill leaves none cut.

    `keys` are those of each image. All files get one date, since the server tells it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [images] if images.is_file() else sorted(images.glob("*.parquet"))
    with tqdm(desc="Pictures", unit=" images") as progress:
        for image_id, png in _rows(files):
            for key in keys.get(image_id, ()):
                path, picture = folder / f"{key}.png", disguise(png, key)
                if not (path.exists() and path.stat().st_size == len(picture)):
                    temporary = folder / f".{key}.tmp"
                    temporary.write_bytes(picture)
                    os.utime(temporary, (DATE, DATE))
                    temporary.replace(path)
            progress.update()


def disguise(image: bytes, key: str) -> bytes:
    """Return an image as a PNG of the same pixels, in bytes, size and digest that are this task's alone.

    A chunk that no program shows pads it. Pixels stay comparable: whoever decodes both pictures finds a repeat.
    """
    png = image if image.startswith(PNG_SIGNATURE) else encode_png(decode(image))
    length = int.from_bytes(hashlib.sha256(f"length {key}".encode()).digest()[:2], "big") % MAX_PADDING_BYTES
    body = b"paDd" + hashlib.shake_256(key.encode()).digest(PADDING_BYTES + length)
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:-END_BYTES] + chunk + png[-END_BYTES:]


def remove_undisguised(folder: Path) -> int:
    """Remove the pictures that are named by their image, as earlier versions wrote them; return how many."""
    old = [path for path in folder.glob("*.png") if len(path.stem) == IMAGE_ID_LENGTH]
    for path in old:
        path.unlink()
    return len(old)


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
    return {wanted[image_id]: png for image_id, png in _rows(sorted(kept.glob("*.parquet"))) if image_id in wanted}
