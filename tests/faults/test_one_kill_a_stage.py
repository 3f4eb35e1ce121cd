"""One SIGKILL in each stage of the graph, at a moment that a seed draws."""

import time
from pathlib import Path

import pytest

from tests.faults import small_project
from tests.faults.conftest import Tally
from tests.faults.killing import check_bytes, kill_through, once_each
from tests.faults.repro import Repro

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(3600)]


def test_a_kill_in_each_stage_loses_nothing(tmp_path: Path, tally: Tally) -> None:
    begin, undisturbed = time.monotonic(), Repro(small_project.make(tmp_path / "undisturbed"))
    try:
        outcome = kill_through(undisturbed, small_project.make(tmp_path / "killed"), once_each)
    finally:
        undisturbed.kill()
    print(f"{time.monotonic() - begin:.0f} s for both runs")
    killed = {found.kill.stage for found in outcome.found if found.hit != "nothing"}
    assert killed == small_project.stages(tmp_path / "killed").keys()
    assert [(found.kill, found.orphans) for found in outcome.found if found.orphans] == []
    assert {stage: number for stage, number in outcome.redone.items() if number} == {}
    check_bytes(outcome, tally, "SIGKILL in a stage, once each")
