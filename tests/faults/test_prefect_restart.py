"""The Prefect server killed and started again in the middle of a flow run: one command, and every out is right."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.processes import free_port, prefect_environment, running, wait_for
from tests.faults import chain
from tests.faults.conftest import Tally
from tests.faults.repro import Repro
from tests.faults.small_project import ROOT

FLOW = f"""
from prefect import flow
from flows.steps import bring_up_to_date

@flow(name="chain")
def run():
    for stage in {chain.STAGES}:
        bring_up_to_date(stage)

run()
"""
SERVER = [sys.executable, "-m", "flows.server"]
pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(600)]


def test_a_run_outlives_the_server_or_is_taken_up_by_the_same_command(tmp_path: Path, tally: Tally) -> None:
    alone = chain.project(tmp_path / "alone", seconds=0)
    assert Repro(alone, ("dvc", "repro")).finish() == 0
    folder, port = chain.project(tmp_path / "project", seconds=4), free_port()
    address = f"http://127.0.0.1:{port}/api"
    environment = prefect_environment(tmp_path / "prefect", ROOT, port)
    log = tmp_path / "server.log"
    flow = [sys.executable, "-c", FLOW]
    with ExitStack() as stack:
        first = stack.enter_context(running(SERVER, folder, environment, log))
        wait_for(f"{address}/health")
        run = stack.enter_context(running(flow, folder, environment, tmp_path / "flow.log"))
        until_second_stage(folder, run)
        first.send_signal(signal.SIGKILL)
        first.wait()
        stack.enter_context(running(SERVER, folder, environment, log))
        wait_for(f"{address}/health")
        code = run.wait(200)
        ran = chain.runs(folder)
        if code:  # the run gave up: the same command again
            subprocess.run(flow, cwd=folder, env=environment, check=True, timeout=200, capture_output=True)
    print(f"exit code {code} after {len(ran)} starts of stages; in all: {chain.runs(folder)}")
    again = [name for name in chain.STAGES if chain.runs(folder).count(name) > 1]
    tally("Prefect server killed", faults=1)
    assert again in ([], ["stage_1"])  # at most the stage that was running
    assert outs(folder) == outs(alone)


def until_second_stage(folder: Path, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while "stage_1" not in chain.runs(folder):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def outs(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the outs; the lock file names the seconds that a stage sleeps."""
    return {name: data for name, data in chain.results(folder).items() if name != "dvc.lock"}
