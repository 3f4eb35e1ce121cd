"""A damaged out: what DVC notices by itself, what it can't, and the commands that bring the bytes back."""

import os
import shutil
from pathlib import Path

import pytest

from tests.faults import chain
from tests.faults.conftest import Tally
from tests.faults.repro import Repro

OUT = "stage_0.txt"
pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = chain.project(tmp_path_factory.mktemp("built") / "project", seconds=0)
    assert Repro(folder, ("dvc", "repro")).finish() == 0
    return folder


@pytest.fixture
def done(built: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(built, tmp_path / "project")
    dvc(folder, "status")  # DVC knows the files' times from here on
    return folder


def flip_bit(file: Path, *, silently: bool = False) -> None:
    """Change one bit; `silently` as a disk does it, with the times as they were."""
    before, data = file.stat(), bytearray(file.read_bytes())
    data[0] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    file.chmod(before.st_mode)
    if silently:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def dvc(folder: Path, *arguments: str) -> str:
    run = Repro(folder, ("dvc", *arguments))
    assert run.finish() == 0, run.text
    return run.text


@pytest.mark.parametrize("damage", ["flipped", "truncated", "lost"])
def test_a_damaged_out_comes_back_from_the_cache_and_no_stage_runs(done: Path, tally: Tally, damage: str) -> None:
    out, expected = done / OUT, chain.results(done)
    if damage == "flipped":
        flip_bit(out)
    elif damage == "truncated":
        out.write_bytes(out.read_bytes()[:3])
    else:
        out.unlink()
    assert OUT in dvc(done, "status")
    dvc(done, "repro")
    changed = chain.results(done) != expected
    tally("damaged out", faults=1, changed=int(changed), redone=len(chain.runs(done)) - len(chain.STAGES))
    assert not changed
    assert chain.runs(done) == list(chain.STAGES)


def test_a_bit_that_flips_with_unchanged_times_comes_back_once_the_out_is_removed(done: Path, tally: Tally) -> None:
    out, expected = done / OUT, chain.results(done)
    flip_bit(out, silently=True)
    assert "up to date" in dvc(done, "status")  # DVC compares times and sizes only
    out.unlink()
    dvc(done, "checkout")
    tally("damaged out", faults=1)
    assert chain.results(done) == expected
