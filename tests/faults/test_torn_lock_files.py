"""dvc.lock and rwlock cut off at any place, as a kill cuts them: the next run computes nothing anew."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mema.project import mending
from mema.project.mending import mend
from tests.faults import chain
from tests.faults.conftest import Tally
from tests.faults.repro import Repro

HOLDER = """
import time, zc.lockfile
lock = zc.lockfile.LockFile(".dvc/tmp/lock")
print("held", flush=True)
time.sleep(60)
"""
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")
pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain that is up to date; git knows dvc.lock as it was before the last stage."""
    folder = chain.project(tmp_path_factory.mktemp("built") / "project", seconds=0)
    assert Repro(folder, ("dvc", "repro", chain.STAGES[1])).finish() == 0
    for command in (("init", "-q"), ("add", "dvc.yaml", "dvc.lock"), ("commit", "-q", "-m", "Start")):
        subprocess.run([*GIT, *command], cwd=folder, check=True)
    assert Repro(folder, ("dvc", "repro")).finish() == 0
    assert chain.runs(folder) == list(chain.STAGES)
    return folder


@pytest.fixture
def done(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "project")


@pytest.mark.parametrize("share", [0.0, 0.35, 0.6, 0.97])
def test_a_torn_lock_file_costs_no_work(done: Path, share: float, tally: Tally) -> None:
    lock, expected = done / "dvc.lock", chain.results(done)
    lock.write_bytes(lock.read_bytes()[: int(share * lock.stat().st_size)])
    run = Repro(done)
    assert run.finish() == 0, run.text
    tally("torn dvc.lock or rwlock", faults=1)
    assert "was torn by a kill" in run.text
    assert chain.runs(done) == list(chain.STAGES)
    assert chain.results(done) == expected


@pytest.mark.parametrize("content", ["", '{"write": {"a'])
def test_a_torn_rwlock_is_removed(done: Path, content: str, tally: Tally) -> None:
    (done / ".dvc/tmp/rwlock").write_text(content)
    run = Repro(done)
    assert run.finish() == 0, run.text
    tally("torn dvc.lock or rwlock", faults=1)
    assert "rwlock was torn by a kill; removed" in run.text


@pytest.mark.parametrize("reaped_or_reused", ["zombie", "another program"])
def test_a_lock_whose_holder_was_killed_blocks_nobody(done: Path, reaped_or_reused: str, tally: Tally) -> None:
    """In a container whose first process reaps nobody, a killed DVC stays a zombie for good."""
    holder = subprocess.Popen(["sleep", "600"])
    if reaped_or_reused == "zombie":
        holder.kill()
    info = {"pid": holder.pid, "cmd": "python -m dvc repro"}
    out = str(done / f"{chain.STAGES[1]}.txt")
    (done / out).unlink()
    lock = done / ".dvc/tmp/rwlock"
    lock.write_text(json.dumps({"write": {out: info}, "read": {str(done / "in.txt"): [info]}}))
    if reaped_or_reused != "zombie":
        os.utime(lock, (1, 1))  # written before the process of this id began
    try:
        run = Repro(done)
        assert run.finish() == 0, run.text
    finally:
        holder.kill()
        holder.wait()
    tally("torn dvc.lock or rwlock", faults=1)
    assert f"was held by process {holder.pid} that a kill ended; released" in run.text


def test_a_living_holder_keeps_its_lock(done: Path) -> None:
    """Whatever it is called: a script may use DVC's own API."""
    holder = subprocess.Popen(["sleep", "600"])
    lock = done / ".dvc/tmp/rwlock"
    lock.write_text(json.dumps({"write": {str(done / "x"): {"pid": holder.pid, "cmd": "python mine.py"}}}))
    try:
        assert mending.mend(done) == []
        assert str(holder.pid) in lock.read_text()
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("content", ["null", "[]", "3"])
def test_a_lock_file_of_nothing_is_removed(done: Path, content: str) -> None:
    (done / ".dvc/tmp/rwlock").write_text(content)
    assert mending.mend(done) == [".dvc/tmp/rwlock holds no locks; removed"]


def test_whole_files_stay_as_they_are(done: Path) -> None:
    before = {name: (done / name).stat().st_mtime_ns for name in ("dvc.lock", ".dvc/tmp/rwlock")}
    assert mend(done) == []
    assert {name: (done / name).stat().st_mtime_ns for name in before} == before


def test_a_stage_that_somebody_removed_was_not_torn_away(done: Path) -> None:
    for name in ("dvc.yaml", "dvc.lock"):
        document = yaml.safe_load((done / name).read_text())
        del document["stages"][chain.STAGES[1]]  # git's dvc.lock has it
        (done / name).write_text(yaml.safe_dump(document, sort_keys=False))
    assert mend(done) == []
    assert chain.STAGES[1] not in (done / "dvc.lock").read_text().split("stage_2:")[0]


def test_while_another_dvc_works_nothing_is_touched(done: Path) -> None:
    (done / "dvc.lock").write_text("stages:\n  torn")
    with subprocess.Popen([sys.executable, "-c", HOLDER], cwd=done, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert mend(done) == []
        other.kill()
    assert len(mend(done)) == 1
