"""The flow annotate on a real worker: it pushes, lets go of the worker, and ends after the last submit."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pytest
import yaml

from mema.label_studio.server.access import SAM_HOST
from mema.runtime import shards
from models.annotation.manifest import read_manifest
from models.diseases import DISEASES
from tasks import schemas
from tests.e2e.label_studio_world import LabelStudioWorld, write_images
from tests.e2e.processes import free_port, prefect_environment, running, until, wait_for
from tests.toys.sam import save_sam
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
READERS, SENIOR = ["flow_1", "flow_2", "flow_3"], "flow_senior"
NUM_IMAGES = 6
TOYS = ("prelabel", "assemble", "report_readers")


class Workplace:
    """A checkout with real annotations stage and toy neighbours, a Prefect server, a worker, a SAM backend."""

    def __init__(self, world: LabelStudioWorld, folder: Path, processes: ExitStack):
        self.world, self.folder, self._processes = world, folder, processes
        world.accounts_for(*READERS, SENIOR)
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = prefect_environment(folder / "prefect", ROOT, self.port) | {
            "MEMA_PROFILE": "phantom",
            "MEMA_POLL": "true",
            "MEMA_REPOSITORY": str(ROOT),
            "MEMA_COMMIT": "0" * 40,
            "MEMA_CHECKOUT": str(folder),
            "LABEL_STUDIO_URL": world.url,
            "MEMA_SAM_PORT": str(world.sam_port),
        }
        self._write_project()

    def _write_project(self) -> None:
        shutil.copy(ROOT / "prefect.yaml", self.folder)
        (self.folder / ".label_studio").symlink_to(self.world.root)
        self.image_ids = write_images(self.folder / "data/selected", NUM_IMAGES, 96)
        document = profile_values()
        document["inputs"]["annotations"] = "data/label_studio"
        document["annotate"] |= {"readers": READERS, "senior": SENIOR, "repeat_share": 0.0}
        document["prelabel"]["sam"] = str(save_sam(self.folder / "sam"))
        (self.folder / "params.yaml").write_text(yaml.safe_dump(document))
        rows = [{"image_id": name, "outline": False, "first_mask": None} for name in self.image_ids]
        subset = self.folder / "data/prelabel/subset.parquet"
        shards.write_table(subset, pa.Table.from_pylist(rows, schema=schemas.SUBSET))
        graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
        real = graph["annotations"]
        stages = {name: {"cmd": f"echo {name} > {name}.txt", "outs": [f"{name}.txt"]} for name in TOYS}
        stages["annotations"] = {
            "cmd": real["cmd"].replace("${inputs.annotations}", "data/label_studio"),
            "deps": ["data/label_studio", "data/selected"],
            "outs": ["data/annotations"],
        }
        for name in ("assemble", "report_readers"):
            stages[name]["deps"] = ["data/annotations"]
        for name, stage in stages.items():
            stage["meta"] = graph[name]["meta"]
        (self.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        self.run("dvc", "init", "--no-scm", "-q")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, *command: str) -> psutil.Process:
        log = self.folder / f"{name}.log"
        process = self._processes.enter_context(
            running([sys.executable, "-m", *command], self.folder, self.environment, log)
        )
        return psutil.Process(process.pid)

    def flow_run(self, flow: str) -> dict[str, Any]:
        """Return the newest run of a flow."""
        query = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
        user, _, password = self.environment["PREFECT_API_AUTH_STRING"].partition(":")
        url = f"{self.api}/flow_runs/filter"
        runs = httpx.post(url, json=query, auth=(user, password), timeout=30).raise_for_status().json()
        return next((run for run in runs if run["state_name"] != "Scheduled"), {"state_name": "none"})

    def submit_all(self, name: str, disease: Callable[[str], str]) -> None:
        """Answer every task of a reader."""
        reader = read_manifest(self.folder / "data/label_studio/manifest.json").readers[name]
        image_of, project = {task.key: task.image_id for task in reader.tasks}, reader.project
        with self.world.target().client(name) as client:
            for task in client.pages("/api/tasks", "tasks", project=project, fields="all"):
                answer = {"choices": [disease(image_of[task["data"]["key"]])]}
                region = {"from_name": "disease", "to_name": "face", "type": "choices", "value": answer}
                client.post(f"/api/tasks/{task['id']}/annotations/", {"result": [region], "lead_time": 3.0})

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def workplace(label_studio: LabelStudioWorld, tmp_path: Path) -> Iterator[Workplace]:
    with ExitStack() as processes:
        place = Workplace(label_studio, tmp_path, processes)
        prefect = ("prefect", "--no-prompt")
        place.start("server", "flows.server")
        sam_port = place.environment["MEMA_SAM_PORT"]
        place.start("sam", "mema.label_studio.sam.backend", "--port", sam_port)
        wait_for(f"{place.api}/health")
        wait_for(f"http://{SAM_HOST}:{sam_port}/health")
        for pool in ("cpu", "gpu"):
            place.run(*prefect, "work-pool", "create", pool, "--type", "process")
        place.run(*prefect, "deploy", "--all")
        yield place


def test_annotate_waits_without_the_worker_and_ends_after_the_last_submit(workplace: Workplace) -> None:
    worker = workplace.start(
        "worker", "prefect", "--no-prompt", "worker", "start", "--pool", "cpu", "--type", "process"
    )
    workplace.run("prefect", "--no-prompt", "deployment", "run", "annotate/annotate-phantom")

    def state() -> str:
        return workplace.flow_run("annotate")["state_name"]

    def wait_until(condition: Callable[[], bool], what: str) -> None:
        until(condition, what, 200, lambda: workplace.log("worker"))

    wait_until(lambda: state() == "Suspended", "the flow waits for the readers")
    wait_until(lambda: not worker.children(recursive=True), "no process waits with it")

    plan = dict(zip(workplace.image_ids, DISEASES, strict=False))
    contested = workplace.image_ids[0]
    said = iter(["bcc", "scc", "tao"])
    for name in READERS:
        answers = plan | {contested: next(said)}
        workplace.submit_all(name, lambda image_id, answers=answers: answers[image_id])

    exports = workplace.folder / "data/label_studio"
    senior = exports / f"export-{SENIOR}.json"
    wait_until(
        lambda: state() == "Suspended" and SENIOR in (exports / "manifest.json").read_text(),
        "the webhook wakes the flow, which pulls and asks the senior",
    )
    assert not senior.exists()
    workplace.submit_all(SENIOR, lambda image_id: "scc")
    wait_until(lambda: state() == "Completed", "the flow ends after the last submit")

    votes = shards.read_table(workplace.folder / "data/annotations/votes.parquet").to_pylist()
    assert Counter(vote["reader"] for vote in votes) == dict.fromkeys(READERS, NUM_IMAGES) | {SENIOR: 1}
    assert {v["disease"] for v in votes if v["image_id"] == contested} == {"bcc", "scc", "tao"}
    assert all(v["disease"] == plan[v["image_id"]] for v in votes if v["image_id"] != contested)
    assert (workplace.folder / "report_readers.txt").exists()
    assert "woke annotate-poll" in workplace.log("sam")
