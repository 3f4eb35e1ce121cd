"""SIGKILL in every stage of the graph, at random moments and while outs are put in place: nothing is lost."""

import re
from collections.abc import Iterator

import pytest

from tests.faults import small_project
from tests.faults.conftest import Tally
from tests.faults.killing import TRAINING, Outcome, aimed, check_bytes, kill_through
from tests.faults.repro import Repro

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("graphs")
    undisturbed = Repro(small_project.make(folder / "undisturbed"))
    try:
        yield kill_through(undisturbed, small_project.make(folder / "killed"), aimed)
    finally:
        undisturbed.kill()


def test_every_stage_is_killed_and_the_bytes_are_those_of_an_undisturbed_run(outcome: Outcome, tally: Tally) -> None:
    assert len([found for found in outcome.found if found.hit != "nothing"]) >= 30
    check_bytes(outcome, tally, "SIGKILL in a stage")


def test_trainings_go_on_from_their_checkpoints(outcome: Outcome) -> None:
    resumed = {}
    for number, found in enumerate(outcome.found):
        if found.kill.moment == "checkpoint":
            bar = re.compile(rf"{TRAINING[found.kill.stage]}: +([0-9]+)%")
            shown = filter(None, map(bar.search, outcome.texts[number + 1 :]))  # the next kill may come before
            resumed[found.kill.stage] = int(next(shown)[1])
    assert resumed.keys() == TRAINING.keys()
    assert [stage for stage, percent in resumed.items() if not percent] == []


def test_finished_shards_are_not_made_again(outcome: Outcome) -> None:
    assert {stage: shards for stage, shards in outcome.redone.items() if shards} == {}


def test_a_killed_stage_leaves_no_process_behind(outcome: Outcome) -> None:
    assert [(found.kill, found.orphans) for found in outcome.found if found.orphans] == []
