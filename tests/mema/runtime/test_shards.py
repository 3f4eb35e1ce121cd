"""Shards survive a kill, damage and a second run with equal bytes."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from mema.runtime import durable, entry, shards

ROWS = pa.table({"value": list(range(25))})
SETTINGS = {"shard_rows": 4, "stage": "toy", "fingerprint": "f", "desc": "toy"}

SLOW_STAGE = """
import time, pyarrow as pa
from pathlib import Path
from mema.runtime import entry, shards
class Work:
    def load(self):
        def work(part):
            time.sleep(0.15)
            with open("worked.txt", "a") as log:
                log.write(f"{part['value'][0]}\\n")
            return part.append_column("double", pa.array([2 * v for v in part["value"].to_pylist()]))
        return work
shards.map_shards(pa.table({"value": list(range(25))}), Work(), Path("out"),
                  shard_rows=4, stage="toy", fingerprint="f", desc="toy")
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True)
class Double:
    """Work: adds a column; `seen` is called with each part's first value, where the part is worked on."""

    seen: Callable[[int], object] = id

    def load(self) -> Callable[[pa.Table], pa.Table]:
        def double(part: pa.Table) -> pa.Table:
            values = part["value"].to_pylist()
            if values:
                self.seen(values[0])
            return part.append_column("double", pa.array([2 * value for value in values], pa.int64()))

        return double


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def run_slow(folder: Path) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    root = str(entry.ROOT)
    environment = os.environ | {"PYTHONPATH": root}
    return subprocess.Popen([sys.executable, "-c", SLOW_STAGE], cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def test_rows_come_back_in_order_and_scratch_is_gone(tmp_path):
    shards.map_shards(ROWS, Double(), tmp_path / "out", **SETTINGS)
    table = shards.read_table(tmp_path / "out")
    assert table["double"].to_pylist() == [2 * value for value in range(25)]
    assert len(list((tmp_path / "out").iterdir())) == 7
    assert (tmp_path / ".scratch/toy-f/.published").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no checksum"])
def test_a_damaged_shard_is_made_again_and_a_whole_one_is_not(tmp_path, damage):
    folder = shards.compute_shards(ROWS, Double(), **SETTINGS)
    expected = digests(folder)
    victim = folder / "shard-00002.parquet"
    content = victim.read_bytes()
    if damage == "truncated":
        victim.write_bytes(content[:-7])
    elif damage == "flipped":
        victim.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    else:
        victim.with_suffix(".sha256").unlink()
    worked: list[int] = []
    shards.compute_shards(ROWS, Double(worked.append), **SETTINGS)
    assert worked == [8]
    assert digests(folder) == expected


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_run_is_taken_up_with_equal_bytes(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert run_slow(undisturbed).wait(60) == 0
    process = run_slow(killed)
    deadline = time.monotonic() + 60
    while len(list(killed.glob(".scratch/toy-f/*.sha256"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(killed.glob(".scratch/toy-f/*.sha256")))
    assert 3 <= finished < 7
    assert not (killed / "out").exists()
    before = len((killed / "worked.txt").read_text().split())
    assert run_slow(killed).wait(60) == 0
    assert len((killed / "worked.txt").read_text().split()) - before == 7 - finished
    assert digests(killed / "out") == digests(undisturbed / "out")


def test_no_rows_make_one_shard_with_the_columns(tmp_path):
    shards.map_shards(ROWS.slice(0, 0), Double(), tmp_path / "out", **SETTINGS)
    assert shards.read_table(tmp_path / "out").column_names == ["value", "double"]


def test_an_out_that_stands_there_is_replaced(tmp_path):
    shards.write_shards(ROWS, tmp_path / "out", shard_rows=2)
    shards.write_shards(ROWS.slice(0, 3), tmp_path / "out", shard_rows=2)
    assert shards.read_table(tmp_path / "out").num_rows == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    durable.write_json(tmp_path / "m.json", {"b": 1, "a": 2})
    assert (tmp_path / "m.json").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        durable.write_json(tmp_path / "m.json", {"a": float("nan")})
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": 2, "b": 1}


def test_missing_shards_say_what_to_run(tmp_path):
    with pytest.raises(ValueError, match="dvc repro"):
        shards.read_table(tmp_path)


def test_fingerprint_follows_content_names_and_values(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("1")
    first = durable.fingerprint(tmp_path / "a", rows=3)
    os.utime(tmp_path / "a/x", (1, 1))
    assert durable.fingerprint(tmp_path / "a", rows=3) == first
    assert durable.fingerprint(tmp_path / "a", rows=4) != first
    (tmp_path / "a/x").write_text("2")
    second = durable.fingerprint(tmp_path / "a", rows=3)
    (tmp_path / "a/x").rename(tmp_path / "a/y")
    assert len({first, second, durable.fingerprint(tmp_path / "a", rows=3)}) == 3


def test_timing_is_written_on_success_only(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), shards.timing("toy"):
        raise RuntimeError("stop")
    assert not (tmp_path / ".scratch").exists()
    with shards.timing("toy") as record:
        record.images = 5
    assert json.loads((tmp_path / ".scratch/timings/toy.json").read_text())["images"] == 5


def test_published_work_stays_until_another_stage_starts(tmp_path):
    shards.map_shards(ROWS, Double(), tmp_path / "out", **SETTINGS)
    whole = digests(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")  # as DVC does to outs that do not stand in dvc.lock
    durable.sweep(Path(".scratch"), "toy")
    worked: list[int] = []
    shards.map_shards(ROWS, Double(worked.append), tmp_path / "out", **SETTINGS)
    assert worked == []
    assert digests(tmp_path / "out") == whole
    (tmp_path / ".scratch/other-f").mkdir()
    durable.sweep(Path(".scratch"), "next")
    assert [path.name for path in Path(".scratch").iterdir()] == ["other-f"]  # unfinished work is not swept
