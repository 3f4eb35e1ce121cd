"""What the ingest of patients and of the public share: listing, checking, aligning and publishing photos."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from mema.params.synthesize import Ingest
from mema.runtime import entry, shards
from models.attributes.deepface import estimate
from models.images import encode_png, image_id
from models.photos.alignment import Aligner
from models.photos.decoding import Limits, decode_photo, read_photo
from models.photos.duplicates import first_seen, near_duplicates, perceptual_hash, thumbnail
from models.photos.rejection import Rejection
from models.photos.upright import load_upright_aligner
from models.reasons import known
from tasks import schemas

CHECKED = pa.schema(
    [
        *(schemas.FACE.field(name) for name in ("image_id", "image", "file", "flags", "age", "gender")),
        ("perceptual_hash", pa.uint64()),
        ("file_sha256", pa.string()),
        ("picture_sha256", pa.string()),  # of all upright pixels, before any crop
        ("thumbnail", pa.binary()),
        ("compared", pa.bool_()),  # looked at for the sake of others alone; its pixels are not kept
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
READ = pa.schema(
    [
        ("file", pa.string()),
        ("compared", pa.bool_()),
        ("data", pa.large_binary()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Examination:
    """Work: photos as read to checked rows, a face or the reason why not; with DeepFace's age and gender."""

    limits: Limits
    detector: str
    detector_path: Path | None
    size_px: int
    deepface_home: Path | None

    def load(self) -> "Examiner":
        """Load the detector."""
        return Examiner(self, load_upright_aligner(self.detector, str(self.detector_path or ""), self.size_px))


@dataclass(frozen=True)
class Examiner:
    """Turns READ rows into CHECKED ones."""

    work: Examination
    align: Aligner

    def __call__(self, part: pa.Table) -> pa.Table:
        faces: list[np.ndarray] = []
        rows = [row if row["reason"] else self._examine(row, faces) for row in part.to_pylist()]
        if self.work.deepface_home and faces:
            accepted = [row for row in rows if not row["reason"]]
            for row, age, gender in zip(accepted, *estimate(faces, self.work.deepface_home), strict=True):
                row["age"], row["gender"] = float(age), gender
        checked = [{name: row.get(name) for name in CHECKED.names} for row in rows]
        return pa.Table.from_pylist(checked, schema=CHECKED)

    def _examine(self, row: dict, faces: list[np.ndarray]) -> dict:
        about = {name: row[name] for name in ("file", "compared")}
        about["file_sha256"] = hashlib.sha256(row["data"]).hexdigest()
        try:
            rgb, flags = decode_photo(row["data"], self.work.limits)
            about |= {"picture_sha256": image_id(rgb), "thumbnail": thumbnail(rgb).tobytes()}
            aligned = self.align(rgb)
        except Rejection as rejection:
            return about | {"reason": rejection.reason, "detail": rejection.detail}
        about |= {"image_id": image_id(aligned.image), "reason": "", "detail": ""}
        if row["compared"]:
            return about
        faces.append(aligned.image)
        return about | {
            "image": encode_png(aligned.image),
            "flags": flags + aligned.flags,
            "perceptual_hash": perceptual_hash(aligned.image),
        }


def read_photos(part: pa.Table, files: dict[str, Path], max_bytes: int) -> pa.Table:
    """Return the named files' bytes as READ, or the reasons why they cannot be read."""
    rows = []
    for row in part.to_pylist():
        try:
            row |= {"data": read_photo(files[row["file"]], max_bytes), "reason": "", "detail": ""}
        except Rejection as rejection:
            row |= {"reason": rejection.reason, "detail": rejection.detail}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=READ)


def fingerprint(stage: str, section: Ingest, *inputs: Path) -> str:
    """Return the fingerprint of an ingest of these inputs, its detector among them."""
    detector = [Path(section.detector_path)] if section.detector_path else []
    return entry.fingerprint(stage, *inputs, *detector, section=section)


def examine(
    names: list[str],
    files: dict[str, Path],
    section: Ingest,
    stage: str,
    fingerprint: str,
    deepface_home: Path | None,
    compared: Collection[str] = (),
) -> Path:
    """Check and align the named photos shard by shard; return the scratch folder of CHECKED tables.

    With a `deepface_home`, age and gender are estimated too. Photos that are `compared` come last; of them it is
    only known which others they equal.
    """
    limits = Limits(section.min_size_px, section.max_megapixels, section.max_aspect)
    detector_path = Path(section.detector_path) if section.detector_path else None
    work = Examination(limits, section.detector, detector_path, section.image_size_px, deepface_home)
    listed = [(name, False) for name in names] + [(name, True) for name in sorted(compared)]
    columns = {"file": pa.array([name for name, _ in listed], pa.string()),
               "compared": pa.array([is_compared for _, is_compared in listed], pa.bool_())}  # fmt: skip
    return shards.compute_shards(
        pa.table(columns),
        work,
        shard_rows=section.shard_rows,
        stage=stage,
        fingerprint=fingerprint,
        desc=stage,
        gather=lambda part: read_photos(part, files, limits.max_bytes),
    )


def checked_rows(folder: Path) -> list[dict]:
    """Return all CHECKED rows without pixels."""
    columns = [name for name in CHECKED.names if name != "image"]
    return shards.read_table(folder, columns=columns).to_pylist()


def kept_rows(
    rows: list[dict], max_bits: int, against: Mapping[str, tuple[str, str]] = MappingProxyType({})
) -> tuple[list[dict], list[dict]]:
    """Return the accepted photos, duplicates flagged, and QUARANTINE rows of the others.

    `against` has a reason and its detail for further files. An accepted row's `twin_of` is the image_id of the
    first photo that it nearly equals, else its own.
    """
    for row in rows:
        if not row["reason"] and row["file"] in against:
            row["reason"], row["detail"] = against[row["file"]]
    kept = [row for row in rows if not (row["reason"] or row["compared"])]
    ids = [row["image_id"] for row in kept]
    exact = first_seen(ids)
    near = near_duplicates(np.array([row["perceptual_hash"] for row in kept], np.uint64), max_bits)
    repeated = {ids[index] for index in np.flatnonzero(exact >= 0)}
    for index, row in enumerate(kept):
        if exact[index] >= 0:
            row["flags"].append("exact_duplicate")
        elif near[index] >= 0:
            row["flags"].append("near_duplicate")
        row["twin_of"] = kept[near[index]]["twin_of"] if near[index] >= 0 else row["image_id"]
        row["has_duplicate"] = row["image_id"] in repeated
    out = [row for row in rows if row["reason"] and not row["compared"]]
    return kept, [{name: row.get(name) for name in schemas.QUARANTINE.names} for row in out]


def with_pixels(folder: Path, rows: list[dict], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield one table per scratch shard: the pixels of the photos in `rows` beside their columns, in order."""
    by_file, done = {row["file"]: row for row in rows}, 0
    for shard in sorted(folder.glob("shard-*.parquet")):
        pixels = shards.read_table(shard, columns=["file", "image"]).to_pylist()
        merged = [by_file[row["file"]] | row for row in pixels if row["file"] in by_file]
        done += len(merged)
        yield pa.Table.from_pylist([{n: row.get(n) for n in schema.names} for row in merged], schema=schema)
    assert done == len(rows)


def summary(num_in: int, kept: list[dict], rejected: list[dict], **more: object) -> dict:
    """Return the stage's metrics; in = kept + quarantined is asserted here."""
    assert num_in == len(kept) + len(rejected), (num_in, len(kept), len(rejected))
    return {
        "in": num_in,
        "kept": len(kept),
        "quarantined": len(rejected),
        "reasons": dict(Counter(row["reason"] for row in rejected)),
        "flags": dict(Counter(flag for row in kept for flag in row["flags"])),
        "splits": dict(Counter(row["split"] for row in kept)),
        **more,
    }


def write_outs(
    folder: Path, kept: list[dict], rejected: list[dict], schema: pa.Schema, faces: Path, quarantine: Path
) -> None:
    """Publish the faces and the quarantine."""
    for row in rejected:
        known(row["reason"])
    shards.write_parts(with_pixels(folder, kept, schema), faces)
    shards.write_table(quarantine, pa.Table.from_pylist(rejected, schema=schemas.QUARANTINE))


def unit_hash(salt: str, key: str) -> float:
    """Return a number in [0, 1) that depends on salt and key alone: a split that no other row can change."""
    return int(hashlib.sha256(f"{salt}\0{key}".encode()).hexdigest()[:13], 16) / 16**13


def refuse_empty(summary: dict, stage: str) -> None:
    """End the stage with an error when no photo survived; its metrics and quarantine are written by then."""
    if not summary["kept"]:
        raise ValueError(
            f"{stage}: kept 0 of {summary['in']}, at least 1 needed; reasons: {summary['reasons']}; "
            "see quarantine.parquet, then mend the source or the limits in params.yaml"
        )


def refuse_unlisted(summary: dict, stage: str) -> None:
    """End the stage with an error when a folder could not be listed: nobody knows what lies in it."""
    if number := summary["reasons"].get("unreadable_folder"):
        raise ValueError(
            f"{stage}: {number} folders could not be listed; quarantine.parquet names them; give them read permission"
        )
