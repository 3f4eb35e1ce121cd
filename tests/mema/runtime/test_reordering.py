"""Rows in another order: the same rows as picked one by one, each shard read once, nothing left behind."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mema.runtime import reordering, shards
from mema.runtime.reordering import in_order


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = pa.table({"number": list(range(103)), "image": [bytes([i]) * i for i in range(103)]})
    shards.write_shards(table, tmp_path / "shards", shard_rows=10)
    return tmp_path / "shards"


@pytest.mark.parametrize("part_rows", [1, 7, 64, 500])
def test_rows_come_in_the_order_asked_for(folder: Path, tmp_path: Path, part_rows: int) -> None:
    rows = np.random.default_rng(0).permutation(103)[:70].tolist()
    parts = list(in_order(folder, rows, part_rows, ["image", "number"], tmp_path / "scratch"))
    assert [part.num_rows for part in parts[:-1]] == [part_rows] * (len(parts) - 1)
    found = pa.concat_tables(parts)
    assert found["number"].to_pylist() == rows
    assert found["image"].to_pylist() == [bytes([i]) * i for i in rows]
    assert not (tmp_path / "scratch").exists()


def test_no_row_gives_nothing_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    assert list(in_order(folder, [], 7, ["number"], tmp_path / "scratch")) == []
    assert not (tmp_path / "scratch").exists()


def test_each_shard_is_read_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    class Watched(pq.ParquetFile):
        def __init__(self, source, **options):
            self.name = Path(source).name
            super().__init__(source, **options)

        def read(self, *arguments, **options):
            read.append(self.name)
            return super().read(*arguments, **options)

    monkeypatch.setattr(reordering.pq, "ParquetFile", Watched)
    rows = np.random.default_rng(1).permutation(103).tolist()
    assert len(list(in_order(folder, rows, 4, ["number"], tmp_path / "scratch"))) == 26
    assert [name for name in read if name.startswith("shard-")] == sorted(path.name for path in folder.iterdir())


def test_what_a_killed_run_left_is_not_taken_for_rows(folder: Path, tmp_path: Path) -> None:
    parts = in_order(folder, list(range(40)), 10, ["number"], tmp_path / "scratch")
    next(parts)
    left = [path.name for path in (tmp_path / "scratch").iterdir()]
    assert left
    again = in_order(folder, [3, 1], 10, ["number"], tmp_path / "scratch")
    assert next(again)["number"].to_pylist() == [3, 1]
