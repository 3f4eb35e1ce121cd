"""Equal bytes wherever parts are worked on, and whatever dies meanwhile: processes of this machine."""

import hashlib
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from mema.runtime import engine, shards
from mema.runtime.parts import IN_FLIGHT, Job, Part

ROWS = pa.table({"value": list(range(48))})
SETTINGS = {"shard_rows": 4, "stage": "toy", "fingerprint": "f", "desc": "toy"}


@dataclass(frozen=True)
class Squares:
    """Work: squares, written down by process; `deadly` parts kill their process the first time."""

    folder: Path
    deadly: tuple[int, ...] = ()
    always: bool = False

    def load(self) -> Callable[[pa.Table], pa.Table]:
        (self.folder / f"loaded-{os.getpid()}").touch()

        def square(part: pa.Table) -> pa.Table:
            first = part["value"][0].as_py()
            died = self.folder / f"died-{first}"
            if first in self.deadly and (self.always or not died.exists()):
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if first == 44 and (self.folder / "wrong").exists():
                raise ValueError("the work's own error")
            return part.append_column("square", pa.array([v * v for v in part["value"].to_pylist()]))

        return square


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RAY_ADDRESS", "MEMA_WORKERS", "MEMA_STORE"):
        monkeypatch.delenv(name, raising=False)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def run(work: Squares, out: str) -> dict[str, str]:
    shutil.rmtree(".scratch", ignore_errors=True)
    shards.map_shards(ROWS, work, Path(out), **SETTINGS)
    return digests(Path(out))


def test_two_processes_give_the_bytes_of_one(tmp_path, monkeypatch):
    here = run(Squares(tmp_path), "here")
    monkeypatch.setenv("MEMA_WORKERS", "2")
    assert run(Squares(tmp_path), "there") == here
    loaded = {path.name for path in tmp_path.glob("loaded-*")}
    assert len(loaded) == 3
    assert f"loaded-{os.getpid()}" in loaded


@pytest.mark.slow
@pytest.mark.faults
def test_a_part_whose_process_is_killed_goes_to_another(tmp_path, monkeypatch, caplog):
    here = run(Squares(tmp_path), "here")
    monkeypatch.setenv("MEMA_WORKERS", "2")
    assert run(Squares(tmp_path, deadly=(8, 32)), "there") == here
    assert sorted(path.name for path in tmp_path.glob("died-*")) == ["died-32", "died-8"]
    assert "the worker of shard 2 died; the shard goes to another one" in caplog.text


@pytest.mark.slow
@pytest.mark.faults
def test_a_part_that_kills_every_process_ends_the_run_and_keeps_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMA_WORKERS", "2")
    with pytest.raises(RuntimeError, match=r"toy: shard \d+ has cost 4 workers; if memory ran out"):
        run(Squares(tmp_path, deadly=(44,), always=True), "there")
    assert not Path("there").exists()
    assert len(list(Path(".scratch/toy-f").glob("*.sha256"))) >= 8


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_error_of_the_work_is_raised_as_it_is(tmp_path, monkeypatch, workers):
    (tmp_path / "wrong").touch()
    monkeypatch.setenv("MEMA_WORKERS", workers)
    with pytest.raises(ValueError, match=r"^the work's own error$"):
        run(Squares(tmp_path), "there")


def test_parts_are_gathered_no_faster_than_they_are_worked_on(tmp_path, monkeypatch):
    gathered, done = [], []

    def parts():
        for number in range(12):
            gathered.append(number)
            yield Part(number, ROWS.slice(4 * number, 4))

    monkeypatch.setenv("MEMA_WORKERS", "2")
    for number in engine.run(Quick(), parts(), 12, "toy"):
        done.append(number)
        assert len(gathered) - len(done) <= 2 * IN_FLIGHT
    assert sorted(done) == list(range(12))


@dataclass(frozen=True)
class Quick:
    """Loads work that does nothing."""

    def __call__(self) -> Job:
        return lambda part: None


@pytest.mark.parametrize("value", ["two", "-1"])
def test_a_number_of_workers_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("MEMA_WORKERS", value)
    with pytest.raises(ValueError, match=f"MEMA_WORKERS: '{value}'"):
        list(engine.run(Quick(), iter([]), 0, "toy"))


def test_nothing_is_loaded_where_nothing_is_left_to_do(tmp_path):
    shards.compute_shards(ROWS, Squares(tmp_path), **SETTINGS)
    for path in tmp_path.glob("loaded-*"):
        path.unlink()
    shards.compute_shards(ROWS, Squares(tmp_path), **SETTINGS)
    assert list(tmp_path.glob("loaded-*")) == []


def test_a_part_travels_without_the_table_that_it_is_cut_from():
    table = pa.table({"value": range(100_000)})
    part = Part(3, table.slice(64, 64))
    pickled = pickle.dumps(part)
    assert len(pickled) < 5_000
    assert pickle.loads(pickled).rows.equals(part.rows)
    assert pickle.loads(pickled).number == 3
