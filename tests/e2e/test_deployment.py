"""The deployments of prefect.yaml through a real server and worker: runs, cancels, kills, two at once."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.prefect_world import STAGES, PrefectWorld, prefect_world
from tests.e2e.processes import gone

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectWorld]:
    with prefect_world(tmp_path_factory.mktemp("prefect")) as world:
        yield world


@pytest.fixture
def world(shared: PrefectWorld) -> PrefectWorld:
    """Nothing made, nothing slow."""
    for path in shared.folder.glob("slow-*"):
        path.unlink()
    (shared.folder / "started").unlink(missing_ok=True)
    shutil.rmtree(shared.folder / "workspaces", ignore_errors=True)
    return shared


def test_nobody_polls_for_simulated_readers(world: PrefectWorld) -> None:
    (schedule,) = world.http.get("/deployments/name/annotate-poll/annotate-poll").json()["schedules"]
    assert schedule["active"] is False


def test_a_run_makes_every_stage_shows_results_and_commits_the_lock_file(world: PrefectWorld) -> None:
    run = world.start_run()
    assert world.finished(run) == "Completed", world.log("worker")[-4000:]
    assert [name for name in STAGES if not (world.workspace / f"{name}.txt").exists()] == []
    head = world.run("git", "rev-parse", "--short=10", "HEAD").strip()
    assert world.flow_run(run)["name"] == f"synthesize-phantom-{head}"
    branches = world.run("git", "branch", "--list", "runs/*")
    assert f"runs/synthesize-phantom-{head}" in branches
    assert "sample.txt" in world.run("git", "show", f"runs/synthesize-phantom-{head}:dvc.lock")
    query = {"artifacts": {"key": {"any_": ["results-synthesize"]}, "flow_run_id": {"any_": [run]}}}
    artefacts = world.http.post("/artifacts/filter", json=query).json()
    assert [artefact["type"] for artefact in artefacts] == ["markdown"]
    # the worker copies what the run prints, so its last lines may come after the run's end
    world.until(
        lambda: all(f"Running stage '{name}'" in world.log("worker") for name in STAGES),
        "every stage is named in the worker's output",
        60,
    )


@pytest.mark.faults
@pytest.mark.parametrize("ears", ["", pytest.param("deaf", marks=pytest.mark.long)])
def test_a_cancelled_run_ends_its_stage_within_seconds_and_can_be_taken_up(world: PrefectWorld, ears: str) -> None:
    (world.folder / "slow-sample").write_text(f"300 {ears}")
    run = world.start_run()
    (pid,) = world.until(lambda: world.started("sample"), "sample starts")
    world.http.post(f"/flow_runs/{run}/set_state", json={"state": {"type": "CANCELLING"}})
    start = time.monotonic()
    world.until(lambda: gone(pid), "the stage's process ends", 60)
    print(f"ended {time.monotonic() - start:.1f} s after the cancel")
    assert world.finished(run) == "Cancelled"
    (world.folder / "slow-sample").unlink()
    again = world.start_run()
    assert world.finished(again) == "Completed", world.log("worker")[-4000:]
    assert len(world.started("train_lora")) == 1


@pytest.mark.faults
@pytest.mark.long
def test_a_flow_that_is_killed_leaves_no_stage_behind(world: PrefectWorld) -> None:
    (world.folder / "slow-sample").write_text("300 deaf")
    run = world.start_run()
    (pid,) = world.until(lambda: world.started("sample"), "sample starts")
    flows = [
        p for p in psutil.Process(pid).parents() if "prefect" in " ".join(p.cmdline()) and "worker" not in p.cmdline()
    ]
    os.kill(flows[0].pid, signal.SIGKILL)
    world.until(lambda: gone(pid), "the stage's process ends", 60)
    assert world.finished(run) == "Crashed"
    (world.folder / "slow-sample").unlink()
    assert world.finished(world.start_run()) == "Completed"
    assert len(world.started("train_lora")) == 1


@pytest.mark.faults
def test_a_stage_that_is_killed_is_tried_again(world: PrefectWorld) -> None:
    (world.folder / "slow-sample").write_text("300")
    run = world.start_run()
    (pid,) = world.until(lambda: world.started("sample"), "sample starts")
    (world.folder / "slow-sample").unlink()
    os.kill(pid, signal.SIGKILL)
    assert world.finished(run) == "Completed", world.log("worker")[-4000:]
    assert len(world.started("sample")) == 2


@pytest.mark.long
def test_two_runs_at_once_wait_for_each_other_and_say_for_whom(world: PrefectWorld) -> None:
    (world.folder / "slow-sample").write_text("30")
    first = world.start_run()
    world.until(lambda: world.started("sample"), "sample starts")
    command = ["python", "-c", "from mema.project import dvc; dvc.reproduce('select')"]
    second = subprocess.run(
        command, cwd=world.workspace, env=world.environment, capture_output=True, text=True, timeout=200
    )
    assert second.returncode == 0, second.stdout + second.stderr
    assert "works in this folder (dvc --wait-for-lock repro sample)" in second.stdout
    assert world.finished(first) == "Completed"
    assert [len(world.started(name)) for name in STAGES] == [1] * len(STAGES)


def test_a_deployment_of_another_environment_is_refused(world: PrefectWorld, tmp_path: Path) -> None:
    code = (
        "import pathlib; from flows import workspace; folder = pathlib.Path('.'); "
        "pathlib.Path('constraints.txt').write_text('torch==0.1'); workspace._check_environment(folder)"
    )
    done = subprocess.run(
        ["python", "-c", code], cwd=tmp_path, env=world.environment, capture_output=True, text=True, timeout=60
    )
    assert "was made of other constraints than the deployed commit's" in done.stderr
