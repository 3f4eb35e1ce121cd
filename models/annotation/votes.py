"""What a folder of readers' exports says: manifest, readings, votes, and what the senior has to see."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.annotation import adjudication
from models.annotation.export import Reading, read_export
from models.annotation.manifest import Manifest, Round, read_json, read_manifest
from models.annotation.provenance import ProposalLog, read_proposals
from models.images import decode

MANIFEST, PROPOSALS = "manifest.json", "proposals.jsonl"
PNG_SIGNATURE, PNG_SIZE = b"\x89PNG\r\n\x1a\n", slice(16, 24)
BATCH = 256

VOTE = pa.schema(
    [
        ("image_id", pa.string()),
        ("reader", pa.string()),
        ("round", pa.string()),  # "reading" or "adjudication"
        ("copy", pa.int32()),  # 1 is the hidden repeat, which never votes
        ("disease", pa.string()),  # "" where the image was rejected without one
        ("severity", pa.string()),
        ("quality", pa.string()),  # "usable" or "low"
        ("quality_reason", pa.string()),
        ("confidence", pa.string()),
        ("comment", pa.string()),  # free text: stays here
        ("lead_time_seconds", pa.float32()),
        ("mask", pa.binary()),  # grey PNG, or null
        ("mask_provenance", pa.string()),  # "machine_accepted", "machine_edited", "by_hand", or ""
    ]
)


def image_sizes(selected: Path) -> dict[str, tuple[int, int]]:
    """Return (height, width) px of every selected image; of a PNG only the header is looked at."""
    sizes = {}
    files = sorted(selected.glob("*.parquet"))
    if not files:
        raise ValueError(f"{selected}: no *.parquet there; run the stage that makes it (dvc repro)")
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["image_id", "image"]):
            names, images = batch["image_id"].to_pylist(), batch["image"].to_pylist()
            sizes |= {name: _size(image) for name, image in zip(names, images, strict=True)}
    return sizes


def _size(image: bytes) -> tuple[int, int]:
    if not image.startswith(PNG_SIGNATURE):
        height, width = decode(image).shape[:2]
        return height, width
    width_and_height = image[PNG_SIZE]
    return int.from_bytes(width_and_height[4:], "big"), int.from_bytes(width_and_height[:4], "big")


def read_readers(
    folder: Path, sizes: Mapping[str, tuple[int, int]], round_: Round | None = None
) -> tuple[Manifest, dict[str, Reading], ProposalLog]:
    """Return the manifest of a folder of exports, what became of each reader's tasks, and the proposals.

    One round only where it is named. Raises ValueError where the exports do not belong to these images.
    """
    manifest, proposals = read_manifest(folder / MANIFEST), read_proposals(folder / PROPOSALS)
    chosen = manifest.of_round(round_) if round_ else manifest.readers
    foreign = {task.image_id for reader in chosen.values() for task in reader.tasks} - sizes.keys()
    if foreign:
        raise ValueError(
            f"{folder / MANIFEST}: {len(foreign)} images are not in the selection, {min(foreign)} first; "
            "it has changed since they were pushed: push and annotate the new one, or bring back the old"
        )
    readings = {
        name: read_export(read_json(folder / f"export-{name}.json"), name, reader, sizes, proposals)
        for name, reader in chosen.items()
    }
    return manifest, readings, proposals


def vote_table(readings: Mapping[str, Reading]) -> pa.Table:
    """Return all votes, reader by reader, in the manifest's order."""
    votes = [vote for reading in readings.values() for vote in reading.votes]
    return pa.Table.from_pylist(votes, schema=VOTE)


def disagreements(folder: Path, selected: Path) -> list[str]:
    """Return the image_ids that the senior has to see, from the readers' exports in a folder, sorted."""
    manifest, readings, _ = read_readers(folder, image_sizes(selected), "reading")
    return adjudication.disagreements(vote_table(readings), len(manifest.of_round("reading")))
