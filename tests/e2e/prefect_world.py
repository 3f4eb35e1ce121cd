"""A Prefect server, a worker, and a checkout with the real prefect.yaml and toy stages of the real names."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from mema.project import graph
from tests.e2e.processes import free_port, prefect_environment, running, until, wait_for

ROOT = Path(__file__).parents[2]
STAGES = graph.stages("synthesize", ROOT / "dvc.yaml")
# Works as long as the file `slow` says, deaf to SIGTERM where that says so; writes its process id first.
STAGE = """import os, pathlib, signal, sys, time
name, root = sys.argv[1], pathlib.Path({root!r})
told = (root / f"slow-{{name}}").read_text().split() if (root / f"slow-{{name}}").exists() else ["0"]
if "deaf" in told:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with (root / "started").open("a") as log:  # last: a test acts on what it reads there
    log.write(f"{{name}} {{os.getpid()}}\\n")
time.sleep(float(told[0]))
pathlib.Path(f"{{name}}.txt").write_text(name)
"""


class PrefectWorld:
    """Where the tests of deployments take place; `folder` holds what stages write down about themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = prefect_environment(folder / "prefect", ROOT, self.port)
        self.environment["MEMA_WORKSPACE"] = str(folder / "workspaces")
        self.project = folder / "a project"
        self.environment["MEMA_REPOSITORIES"] = f"'{self.project}'"
        login = self.environment["PREFECT_API_AUTH_STRING"]
        self.http = httpx.Client(base_url=self.api, auth=(*login.split(":"),), timeout=60)
        self.project.mkdir()
        self._write_project()

    def _write_project(self) -> None:
        for name in ("prefect.yaml", "params.yaml"):
            shutil.copy(ROOT / name, self.project)
        (self.project / "work.py").write_text(STAGE.format(root=str(self.folder)))
        stages, before = {}, []
        for name in STAGES:
            stages[name] = {
                "cmd": f"python work.py {name}",
                "deps": before,
                "outs": [f"{name}.txt"],
                "meta": {"flow": "synthesize"},
            }
            before = [f"{name}.txt"]
        (self.project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        git = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost")
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run(sys.executable, "-m", "dvc", "init", "--quiet")
        self.run("git", "add", "--all")
        self.run(*git, "commit", "--quiet", "--message", "Begin")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def prefect(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "prefect", "--no-prompt", *arguments)

    def start_run(self, deployment: str = "synthesize/synthesize-phantom") -> str:
        """Start a deployment's run; return its id."""
        found = self.http.get(f"/deployments/name/{deployment}").json()
        url = f"/deployments/{found['id']}/create_flow_run"
        # a server at work on a busy machine may answer 503: its own clients ask again, too
        return self.until(
            lambda: self.http.post(url, json={"state": {"type": "SCHEDULED"}}).json().get("id"), "a run starts"
        )

    def flow_run(self, run_id: str) -> dict[str, Any]:
        return self.http.get(f"/flow_runs/{run_id}").raise_for_status().json()

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
        return until(condition, what, seconds, lambda: self.log("worker"))

    def finished(self, run_id: str) -> str:
        """Return the name of the state in which a run ended."""
        self.until(lambda: self.flow_run(run_id)["state_type"] in ENDED, f"{run_id} ends")
        return self.flow_run(run_id)["state_name"]

    def started(self, stage: str) -> list[int]:
        """Return the process ids of a stage's starts."""
        log = self.folder / "started"
        lines = log.read_text().splitlines() if log.exists() else []
        return [int(line.split()[1]) for line in lines if line.split()[0] == stage]

    @property
    def workspace(self) -> Path:
        return next(path for path in (self.folder / "workspaces").iterdir() if (path / ".git").is_dir())

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@contextmanager
def prefect_world(folder: Path) -> Iterator[PrefectWorld]:
    """Start the server, deploy, and start a worker of pool gpu."""
    world = PrefectWorld(folder)
    with ExitStack() as stack:
        server = [sys.executable, "-m", "flows.server"]
        stack.enter_context(running(server, world.project, world.environment, folder / "server.log"))
        wait_for(f"{world.api}/health")
        world.run(sys.executable, "-m", "flows.deploy")
        worker = [sys.executable, "-m", "flows.worker", "gpu"]
        stack.enter_context(running(worker, world.project, world.environment, folder / "worker.log"))
        yield world
