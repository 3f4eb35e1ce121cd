"""The deployment of prefect.yaml, through a real server and worker, on a graph of toy stages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.synthesize import STAGES
from tests.e2e.processes import free_port, running, wait_for

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the real prefect.yaml, and a chain of toy stages with the real names."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "prefect.yaml", folder)
    stages, before = {}, []
    for name in STAGES:
        stages[name] = {"cmd": f"echo {name} > {name}.txt", "deps": before, "outs": [f"{name}.txt"]}
        before = [f"{name}.txt"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    return folder


def test_a_server_and_a_worker_run_the_synthesize_deployment(project: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
    }
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*prefect, *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    server = [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    worker = [*prefect, "worker", "start", "--pool", "mema", "--type", "process", "--name", "test"]
    with running(server, project, environment, tmp_path / "server.log"):
        wait_for(f"http://127.0.0.1:{port}/api/health", 90)
        run("work-pool", "create", "mema", "--type", "process")
        run("deploy", "--all")
        with running(worker, project, environment, tmp_path / "worker.log"):
            finished = run("deployment", "run", "synthesize/synthesize", "--watch")
    assert "Completed" in finished or "success" in finished.lower()
    assert [name for name in STAGES if not (project / f"{name}.txt").exists()] == []
    log = (tmp_path / "worker.log").read_text()
    assert all(f"Running stage '{name}'" in log for name in STAGES)
