"""Rows of many shards in another order, each shard read once and no more than one in memory."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mema.runtime.shards import plain, shard_files

PLACE = "__place__"


def in_order(
    folder: Path, rows: Sequence[int], part_rows: int, columns: list[str], scratch: Path
) -> Iterator[pa.Table]:
    """Yield rows of a folder's shards in the order given, `part_rows` at a time.

    Reading scattered rows would read nearly every shard for every part, so a first pass deals the rows out to a file
    a part below `scratch`, which is removed before and after.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    wanted, writers, start = np.asarray(rows, np.int64), {}, 0
    try:
        for file in shard_files(folder):
            number = pq.ParquetFile(file).metadata.num_rows
            places = np.flatnonzero((start <= wanted) & (wanted < start + number))
            if len(places):
                here = plain(pq.ParquetFile(file).read(columns=columns)).take(wanted[places] - start)
                _deal(here.append_column(PLACE, pa.array(places)), part_rows, scratch, writers)
            start += number
        for writer in writers.values():
            writer.close()
        for part in sorted(writers):
            table = pq.ParquetFile(_file(scratch, part)).read()
            yield table.sort_by(PLACE).drop_columns([PLACE])
    finally:
        for writer in writers.values():
            writer.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _deal(table: pa.Table, part_rows: int, scratch: Path, writers: dict[int, pq.ParquetWriter]) -> None:
    parts = table[PLACE].to_numpy() // part_rows
    for part in np.unique(parts).tolist():
        if part not in writers:
            scratch.mkdir(parents=True, exist_ok=True)
            writers[part] = pq.ParquetWriter(_file(scratch, part), table.schema, compression="none")
        writers[part].write_table(table.filter(parts == part))


def _file(scratch: Path, part: int) -> Path:
    return scratch / f"part-{part:05d}.parquet"
