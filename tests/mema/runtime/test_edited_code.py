"""A stage whose code was edited makes new values, whatever an earlier run, or a killed one, left behind."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from mema.runtime import shards
from tests.worlds import edited_project

TIMES = '''"""Stage times: a factor times each row, a row a shard."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from mema.runtime import entry, shards, stage

FACTOR, SECONDS = 10, 0.0


@dataclass(frozen=True)
class Times:
    def load(self):
        return self.work

    def work(self, part):
        time.sleep(SECONDS)
        return pa.table({"value": [FACTOR * row for row in part["row"].to_pylist()]})


def main(source: Annotated[Path, typer.Option()], out: Annotated[Path, typer.Option()]) -> None:
    rows = pa.table({"row": [int(word) for word in source.read_text().split()]})
    shards.map_shards(
        rows, Times(), out, shard_rows=1, stage="times", desc="times",
        fingerprint=entry.fingerprint("times", by=Times),
    )


if __name__ == "__main__":
    stage.start(main)
'''


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A project with a stage of ten rows that needs no network."""
    folder = tmp_path / "toy"
    edited_project.copy_packages(folder)
    (folder / "tasks/times.py").write_text(TIMES)
    entry = {
        "cmd": "python -m tasks.times --source rows.txt --out made", "deps": ["rows.txt", "tasks/times.py"],
        "outs": [{"made": {"remote": "restricted"}}],
    }  # fmt: skip
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"times": entry}}))
    (folder / "params.yaml").write_text("{}\n")
    (folder / "rows.txt").write_text(" ".join(map(str, range(10))))
    return folder


def change(folder: Path, before: str, after: str) -> None:
    """Edit the toy stage."""
    text = (folder / "tasks/times.py").read_text()
    assert before in text
    (folder / "tasks/times.py").write_text(text.replace(before, after))


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the toy stage."""
    return subprocess.Popen(
        edited_project.command(folder, "times"), cwd=folder, env=edited_project.environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_shards(folder: Path, process: subprocess.Popen[str], number: int) -> None:
    """Wait until the toy stage has finished some shards and goes on."""
    deadline = time.monotonic() + 120
    while len(list(folder.glob(".scratch/times-*/*.sha256"))) < number and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)


def values(folder: Path) -> list[int]:
    """Return what the toy stage made."""
    return shards.read_table(folder / "made")["value"].to_pylist()


def test_an_edit_after_a_run_is_seen(toy):
    edited_project.run(toy, "times")
    assert values(toy) == [10 * row for row in range(10)]
    change(toy, "FACTOR, SECONDS = 10,", "FACTOR, SECONDS = 99,")
    edited_project.run(toy, "times")
    assert values(toy) == [99 * row for row in range(10)]
    (toy / "rows.txt").write_text("5 6 7")
    edited_project.run(toy, "times")
    assert values(toy) == [495, 594, 693]


@pytest.mark.slow
def test_a_killed_run_of_other_code_is_not_taken_up_and_one_of_the_same_is(toy):
    change(toy, "SECONDS = 10, 0.0", "SECONDS = 10, 0.5")
    process = start(toy)
    wait_for_shards(toy, process, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = start(toy)
    wait_for_shards(toy, again, 5)
    again.send_signal(signal.SIGKILL)
    said = again.communicate()[1]
    assert "shards already done" in said
    change(toy, "SECONDS = 10, 0.5", "SECONDS = 99, 0.0")
    last = start(toy)
    said = last.communicate()[1]
    assert last.returncode == 0, said
    assert "already done" not in said
    assert values(toy) == [99 * row for row in range(10)]
    assert all((path / ".published").exists() for path in toy.glob(".scratch/times-*"))


@pytest.mark.slow
def test_a_stage_that_was_edited_while_it_ran_fails_and_goes_on_with_nothing_of_it(toy):
    change(toy, "SECONDS = 10, 0.0", "SECONDS = 10, 0.3")
    process = start(toy)
    wait_for_shards(toy, process, 2)
    change(toy, "SECONDS = 10, 0.3", "SECONDS = 99, 0.0")
    said = process.communicate()[1]
    assert process.returncode == 1
    assert "times: its code or its params changed while it ran" in said
    edited_project.run(toy, "times")
    assert values(toy) == [99 * row for row in range(10)]
