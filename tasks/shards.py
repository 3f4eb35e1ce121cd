"""Durable Parquet shards: every stage's progress survives a kill, and equal rows give equal bytes."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

SCRATCH = Path(".scratch")
log = logging.getLogger(__name__)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries, without which a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then flush and rename it, so `path` is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_table(path: Path, table: pa.Table, row_group_rows: int | None = None) -> None:
    """Write one Parquet file atomically and durably; small row groups make single rows quick to read."""

    def write(temporary: Path) -> None:
        pq.write_table(table, temporary, compression="zstd", row_group_size=row_group_rows)

    _write_atomic(path, write)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, atomically and durably."""
    _write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, atomically and durably."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically; nan and infinity are refused, since JSON has neither."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file, or a folder's shards in the order of their names."""
    if path.is_file():
        return pq.ParquetFile(path).read(columns=columns)
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise ValueError(f"{path}: no *.parquet there; run the stage that makes it (dvc repro)")
    return pa.concat_tables([pq.ParquetFile(file).read(columns=columns) for file in files])


def take_rows(folder: Path, rows: Sequence[int], columns: list[str] | None = None) -> pa.Table:
    """Return some rows of a folder's shards, counted over all of them, in the order given.

    Only the shards that hold one of them are read, one at a time.
    """
    files, wanted = sorted(folder.glob("*.parquet")), np.asarray(rows, np.int64)
    ends = np.cumsum([pq.ParquetFile(file).metadata.num_rows for file in files])
    if not len(wanted) or wanted.min() < 0 or wanted.max() >= ends[-1]:
        raise ValueError(f"{folder}: {len(wanted)} rows asked for, not all of 0 to {ends[-1] - 1}")
    owner, tables, places = np.searchsorted(ends, wanted, side="right"), [], []
    for shard in np.unique(owner).tolist():
        start = ends[shard - 1] if shard else 0
        tables.append(pq.ParquetFile(files[shard]).read(columns=columns).take(wanted[owner == shard] - start))
        places.append(np.flatnonzero(owner == shard))
    return pa.concat_tables(tables).take(np.argsort(np.concatenate(places))).combine_chunks()


def _hash_path(path: Path, update: Callable[[bytes], None]) -> None:
    """Feed names and contents below `path`; links are hashed as links, so none leads out of the folder."""
    if path.is_symlink():
        update(b"link\0" + os.readlink(path).encode(errors="surrogateescape"))
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name != "__pycache__":
                update(b"entry\0" + child.name.encode(errors="surrogateescape") + b"\0")
                _hash_path(child, update)
    elif path.is_file():
        with path.open("rb") as handle:
            update(hashlib.file_digest(handle, "sha256").digest())
    else:
        update(b"absent")


def fingerprint(*paths: Path, **values: Any) -> str:
    """Return 16 hex digits over the contents of files and folders and over JSON-able values.

    Whole contents are read: seconds for some ten thousand photos, and unlike times or sizes never wrong.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(b"path\0")
        _hash_path(path, digest.update)
    digest.update(json.dumps(values, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def _checksum_file(shard: Path) -> Path:
    return shard.with_suffix(".sha256")


def _is_whole(shard: Path) -> bool:
    """Tell whether a shard stands as it was written; one without its checksum is not trusted."""
    checksum = _checksum_file(shard)
    if not (shard.is_file() and checksum.is_file()):
        return False
    return hashlib.sha256(shard.read_bytes()).hexdigest() == checksum.read_text().strip()


def _write_shard(shard: Path, table: pa.Table, row_group_rows: int | None) -> None:
    _checksum_file(shard).unlink(missing_ok=True)
    write_table(shard, table, row_group_rows)
    checksum = hashlib.sha256(shard.read_bytes()).hexdigest()
    _write_atomic(_checksum_file(shard), lambda temporary: temporary.write_bytes(checksum.encode()))


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}.parquet"


def compute_shards(
    rows: pa.Table,
    work: Callable[[pa.Table], pa.Table],
    *,
    shard_rows: int,
    stage: str,
    fingerprint: str,
    desc: str,
    row_group_rows: int | None = None,
) -> Path:
    """Run `work` on the slices whose shard is missing or damaged; return the scratch folder that holds all.

    The fingerprint must cover everything `work` depends on. The folder stays until `clear_scratch`.
    """
    if shard_rows < 1:
        raise ValueError(f"{stage}.shard_rows: {shard_rows} must be at least 1")
    folder = SCRATCH / f"{stage}-{fingerprint}"
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, max(rows.num_rows, 1), shard_rows)
    shards = [folder / _shard_name(index) for index in range(len(starts))]
    done = {shard for shard in shards if _is_whole(shard)}
    if done:
        log.info("%s: %d of %d shards already done", stage, len(done), len(shards))
    with tqdm(total=rows.num_rows, desc=desc, unit=" images") as progress:
        for start, shard in zip(starts, shards, strict=True):
            part = rows.slice(start, shard_rows)
            if shard not in done:
                _write_shard(shard, work(part), row_group_rows)
            progress.update(part.num_rows)
    return folder


def publish(folder: Path, out: Path) -> None:
    """Put the shards of `folder` at `out` in one rename, replacing what stood there.

    Links rather than moves: a kill at any moment leaves the scratch folder complete for the next run.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    incoming = out.with_name(f".{out.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir()
    for shard in sorted(folder.glob("shard-*.parquet")):
        try:
            os.link(shard, incoming / shard.name)
        except OSError:  # scratch on another file system
            shutil.copyfile(shard, incoming / shard.name)
    _sync_folder(incoming)
    shutil.rmtree(out, ignore_errors=True)
    incoming.replace(out)
    _sync_folder(out.parent)


def clear_scratch(stage: str, fingerprint: str) -> None:
    """Forget a stage's progress, once its outs are in place."""
    shutil.rmtree(SCRATCH / f"{stage}-{fingerprint}", ignore_errors=True)


def map_shards(
    rows: pa.Table,
    work: Callable[[pa.Table], pa.Table],
    out: Path,
    *,
    shard_rows: int,
    stage: str,
    fingerprint: str,
    desc: str,
    row_group_rows: int | None = None,
) -> None:
    """Map `work` over slices of `rows` into out/shard-*.parquet, taking up what a killed run finished."""
    folder = compute_shards(
        rows, work, shard_rows=shard_rows, stage=stage, fingerprint=fingerprint, desc=desc,
        row_group_rows=row_group_rows,
    )  # fmt: skip
    publish(folder, out)
    clear_scratch(stage, fingerprint)


def write_parts(parts: Iterable[pa.Table], out: Path) -> None:
    """Write tables as the shards of `out`, one at a time in memory, put there in one rename."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.writing")
    shutil.rmtree(folder, ignore_errors=True)
    for index, part in enumerate(parts):
        write_table(folder / _shard_name(index), part)
    publish(folder, out)
    shutil.rmtree(folder)


def write_shards(table: pa.Table, out: Path, *, shard_rows: int) -> None:
    """Write a table that is already in memory as shards, in one rename; zero rows make one shard."""
    starts = range(0, max(table.num_rows, 1), shard_rows)
    write_parts((table.slice(start, shard_rows) for start in starts), out)


@dataclass
class Timing:
    """What `timing` writes down; the stage sets the number of images."""

    images: int = 0


@contextmanager
def timing(stage: str) -> Iterator[Timing]:
    """Write .scratch/timings/<stage>.json {seconds, images} on success; no out, since times differ."""
    record, start = Timing(), time.perf_counter()
    yield record
    seconds = round(time.perf_counter() - start, 3)
    write_json(SCRATCH / "timings" / f"{stage}.json", {"seconds": seconds, "images": record.images})
