"""Two `dvc repro` at once on one workspace: each stage runs once, and the outs are those of one run alone.

Plain `dvc repro` waits three seconds for the lock, so that on a slow machine both may give up; nothing is lost then.
"""

from pathlib import Path

import pytest

from tests.faults import chain
from tests.faults.conftest import Tally
from tests.faults.repro import Repro

PLAIN, WAITING = ("dvc", "repro"), ("dvc", "--wait-for-lock", "repro")
pytestmark = [pytest.mark.faults, pytest.mark.slow]


def both(folder: Path, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[Repro, Repro]:
    """Start both at once and wait for both."""
    runs = Repro(folder, first), Repro(folder, second)
    for run in runs:
        run.finish()
    return runs


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = chain.project(tmp_path_factory.mktemp("alone") / "project")
    assert Repro(folder, PLAIN).finish() == 0
    return folder


@pytest.mark.parametrize("command", [WAITING, PLAIN], ids=["waiting", "plain"])
def test_two_at_once_leave_the_workspace_as_one_does(
    tmp_path: Path, alone: Path, tally: Tally, command: tuple[str, ...]
) -> None:
    folder = chain.project(tmp_path / "project")
    runs = both(folder, command, command)
    codes = [run.process.returncode for run in runs]
    said = "\n".join(run.text for run in runs)
    if command == WAITING:
        assert 0 in codes, said
    for run in runs:
        assert run.process.returncode == 0 or "lock" in run.text or "busy" in run.text, said
    again = Repro(folder, WAITING)
    assert again.finish() == 0, again.text
    tally("two dvc repro at once", faults=1)
    assert list(dict.fromkeys(chain.runs(folder))) == list(chain.STAGES)
    if 0 in codes:
        assert len(chain.runs(folder)) == len(chain.STAGES)
        assert "Running stage" not in again.text
    assert chain.results(folder) == chain.results(alone)
