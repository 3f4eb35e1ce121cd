"""Durable Parquet shards: every stage's progress survives a kill, and equal rows give equal bytes."""

import hashlib
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mema.runtime import durable, engine, logs
from mema.runtime.parts import Job, Part
from mema.runtime.store import SCRATCH, Store, receive, scratch, ship

FINGERPRINT = "[0-9a-f]" * 16  # as a glob
ROUNDS = 4  # of making shards that do not come back from the store as they were written
log = logging.getLogger(__name__)
HUGGING_FACE = b"huggingface"  # where `datasets` keeps what columns are, in a schema's metadata


def write_table(path: Path, table: pa.Table, row_group_rows: int | None = None) -> None:
    """Write one Parquet file atomically and durably; small row groups make single rows quick to read."""

    def write(temporary: Path) -> None:
        pq.write_table(table, temporary, compression="zstd", row_group_size=row_group_rows)

    durable.write_atomic(path, write)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file, or a folder's shards in the order of their names."""
    if path.is_file():
        return plain(pq.ParquetFile(path).read(columns=columns))
    return pa.concat_tables([plain(pq.ParquetFile(file).read(columns=columns)) for file in shard_files(path)])


def shard_files(folder: Path) -> list[Path]:
    """Return a folder's shards in the order of their names; raises ValueError where there is none."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise ValueError(f"{folder}: no *.parquet there; run the stage that makes it (dvc repro)")
    return files


def plain(table: pa.Table) -> pa.Table:
    """Return pictures as bytes and labels as names, whether a stage wrote the table or `datasets` may read it."""
    described = json.loads((table.schema.metadata or {}).get(HUGGING_FACE, b"{}"))
    for name, feature in described.get("info", {}).get("features", {}).items():
        kind = feature.get("_type") if isinstance(feature, dict) and name in table.column_names else None
        if kind == "Image":
            column = pa.chunked_array([chunk.field("bytes") for chunk in table[name].chunks], pa.binary())
        elif kind == "ClassLabel":
            names = pa.array(feature["names"], pa.string())
            column = pa.chunked_array([names.take(chunk) for chunk in table[name].chunks], pa.string())
        else:
            continue
        table = table.set_column(table.column_names.index(name), name, column)
    return table.replace_schema_metadata(None)


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
        part = pq.ParquetFile(files[shard]).read(columns=columns).take(wanted[owner == shard] - start)
        tables.append(plain(part))
        places.append(np.flatnonzero(owner == shard))
    return pa.concat_tables(tables).take(np.argsort(np.concatenate(places))).combine_chunks()


@dataclass(frozen=True)
class Shards:
    """Where the shards of one run of a stage lie while it is unfinished, and a copy of them on this disk."""

    store: Store
    prefix: str
    row_group_rows: int | None = None

    @property
    def folder(self) -> Path:
        """The local folder that holds them in the end."""
        return (self.store.folder or SCRATCH) / self.prefix

    def write(self, number: int, table: pa.Table) -> None:
        """Put one shard into the store, then its checksum, without which it is not trusted."""
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", row_group_size=self.row_group_rows)
        data, name = buffer.getvalue(), f"{self.prefix}/{_shard_name(number)}"
        self.store.write(name, data)
        self.store.write(_checksum_name(name), hashlib.sha256(data).hexdigest().encode())

    def has(self, number: int) -> bool:
        """Tell whether a shard stands as it was written; a remote one is on this disk then."""
        name = f"{self.prefix}/{_shard_name(number)}"
        checksum = self.store.read(_checksum_name(name))
        data = self.store.read(name) if checksum else None
        if not checksum or not data or hashlib.sha256(data).hexdigest() != checksum.decode(errors="replace"):
            return False
        if self.store.folder is None:
            durable.write_bytes(self.folder / _shard_name(number), data)
        return True


def _shard_name(number: int) -> str:
    return f"shard-{number:05d}.parquet"


def _checksum_name(shard: str) -> str:
    return shard.removesuffix("parquet") + "sha256"


class Work(Protocol):
    """What a stage does to its rows. A frozen dataclass that travels to workers; its paths are checkpoints."""

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load what is needed, once in each worker, and return what turns rows into results."""
        ...


@dataclass(frozen=True)
class _Loader:
    """In a worker: from a part to its shard in the store."""

    work: Any
    shards: Shards

    def __call__(self) -> Job:
        work = receive(self.work).load()
        return lambda part: self.shards.write(part.number, work(part.rows))


def compute_shards(
    rows: pa.Table,
    work: Work,
    *,
    shard_rows: int,
    stage: str,
    fingerprint: str,
    desc: str,
    gather: Callable[[pa.Table], pa.Table] | None = None,
    row_group_rows: int | None = None,
) -> Path:
    """Map `work` over the slices whose shard is missing or damaged; return the local folder that holds all.

    `gather` adds, in this process, the bytes that a slice's work reads. The fingerprint must cover everything that
    the results depend on. The folder stays until `clear_scratch`.
    """
    if shard_rows < 1:
        raise ValueError(f"{stage}.shard_rows: {shard_rows} must be at least 1")
    shards = Shards(scratch(), f"{stage}-{fingerprint}", row_group_rows)
    shards.folder.mkdir(parents=True, exist_ok=True)
    durable.take_up(shards.folder)
    parts = [rows.slice(start, shard_rows) for start in range(0, max(rows.num_rows, 1), shard_rows)]
    left = [number for number in range(len(parts)) if not shards.has(number)]
    done = len(parts) - len(left)
    if done:
        log.info("%s: %d of %d shards already done", stage, done, len(parts))
    load = _Loader(ship(work, shards.store) if left else work, shards)
    finished = rows.num_rows - sum(parts[number].num_rows for number in left)
    with logs.progress(rows.num_rows, desc, initial=finished) as progress:
        for _ in range(ROUNDS):
            todo = (Part(n, gather(parts[n]) if gather else parts[n]) for n in left)
            broken = []
            for number in engine.run(load, todo, len(left), stage):
                if shards.store.folder is None and not shards.has(number):
                    broken.append(number)
                else:
                    progress.update(parts[number].num_rows)
            left = broken
            if not left:
                break
            log.warning("%s: %d shards came back damaged and are made again", stage, len(left))
    if left:
        raise RuntimeError(f"{stage}: MEMA_STORE gives {len(left)} shards back other than they were written; mend it")
    return shards.folder


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
    durable.sync_folder(incoming)
    shutil.rmtree(out, ignore_errors=True)
    incoming.replace(out)
    durable.sync_folder(out.parent)


def clear_scratch(stage: str, fingerprint: str = "") -> None:
    """Let go of a stage's progress, once its outs are in place, and of what runs of other code or values left.

    A store elsewhere may serve several checkouts: there the work of this fingerprint alone goes.
    """
    for folder in SCRATCH.glob(f"{stage}-{FINGERPRINT}"):
        durable.let_go(folder)
    if fingerprint:
        shards = Shards(scratch(), f"{stage}-{fingerprint}")
        durable.let_go(shards.folder)
        if shards.store.folder is None:
            shards.store.remove(shards.prefix)


def map_shards(rows: pa.Table, work: Work, out: Path, *, stage: str, fingerprint: str, **options: Any) -> None:
    """Map `work` over slices of `rows` into out/shard-*.parquet, taking up what a killed run finished.

    Options are those of `compute_shards`.
    """
    folder = compute_shards(rows, work, stage=stage, fingerprint=fingerprint, **options)
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
    durable.write_json(SCRATCH / "timings" / f"{stage}.json", {"seconds": seconds, "images": record.images})
