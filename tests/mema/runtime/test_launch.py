"""Training stages on several processes: how they start and end, and that two of them train what one trains."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from safetensors.torch import load_file
from torch import Tensor

from mema.params import Params, load
from mema.runtime import entry, launch
from tasks.deidentify import train_deid
from tasks.synthesize import train_lora
from tests.tasks.deidentify.test_train_deid import parameters, write_workspace
from tests.tasks.synthesize.test_train_lora import SECTION, digests, write_faces
from tests.toys.generator import coloured_faces, save_generator

ROOT = entry.ROOT
PATIENCE_SECONDS = 300
# The largest difference of a weight allowed; measured 1e-6 after 32 steps of the LoRA, 2.5e-5 after 4 of MedSem-DeID,
# 0.5 for another seed.
TOLERANCE = 1e-4
DEID_TOLERANCE = 1e-3
LORA = ["tasks.synthesize.train_lora", "--faces", "faces", "--lora", "lora", "--metrics", "lora.json"]
TORCHRUN = ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
TORCHRUN += ["--nproc-per-node", "2", "-m"]
DEID = ["tasks.deidentify.train_deid", "--mema", "data/mema", "--medical-encoder", "encoder"]
DEID += ["--deid", "deid", "--metrics", "deid.json"]


def begin(arguments: list[str], folder: Path, launcher: Sequence[str] = ()) -> subprocess.Popen:
    """Start a stage on two processes: as dvc.yaml does, or by a launcher of one's own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment |= {"MEMA_PROCESSES": "2", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (folder / "log.txt").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *launcher, *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )


def end(process: subprocess.Popen, folder: Path) -> tuple[int, str]:
    """Wait for its end; return its exit code and what it said."""
    try:
        code = process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
    return code, (folder / "log.txt").read_text()


def wait_until(ready: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Return after how many seconds something was so."""
    start = time.monotonic()
    while not ready():
        assert time.monotonic() - start < seconds
        time.sleep(0.01)
    return time.monotonic() - start


def ranks_of(launcher: subprocess.Popen) -> dict[int, psutil.Process]:
    """Return the launcher's processes by their rank."""
    children = psutil.Process(launcher.pid).children()
    return {int(child.environ()["RANK"]): child for child in children if "RANK" in child.environ()}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference of two weights of one name."""
    assert a.keys() == b.keys()
    return max(float((a[name].float() - b[name].float()).abs().max()) for name in a)


def lora(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "lora/pytorch_lora_weights.safetensors")


def test_gpus_are_shared_out_by_accelerate_and_cpus_by_torchrun() -> None:
    on_gpus = " ".join(launch.command(2, 4, "tasks.synthesize.train_lora", ["--faces", "a b"])[1:])
    assert on_gpus.startswith("-m accelerate.commands.launch --multi_gpu ")
    assert "--num_processes 2 " in on_gpus
    on_cpus = launch.command(2, 0, "tasks.synthesize.train_lora", ["--faces", "a b"])
    assert on_cpus[2] == "torch.distributed.run"
    assert on_cpus[-4:] == ["-m", "tasks.synthesize.train_lora", "--faces", "a b"]


def test_more_processes_than_gpus_are_refused() -> None:
    with pytest.raises(ValueError, match="MEMA_PROCESSES: 3 processes on 2 GPUs; set at most 2"):
        launch.command(3, 2, "tasks.synthesize.train_lora", [])


@pytest.mark.parametrize("told", ["0", "two", "-2", "1.5"])
def test_what_is_no_number_of_processes_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=rf"MEMA_PROCESSES: '{told}' is no number of processes; set 1 or more"):
        launch.num_processes({"MEMA_PROCESSES": told})


def test_a_launcher_that_starts_fewer_than_asked_for_ends_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MEMA_PROCESSES": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="2 processes are asked for, and the launcher started 1; unset it"):
        launch.start(lambda: pytest.fail("the stage ran"))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_ending_the_stage_ends_all_of_its_processes(tmp_path: Path, sent: signal.Signals) -> None:
    stage = begin(["tests.toys.waiting_stage", str(tmp_path)], tmp_path)
    try:
        wait_until(lambda: len(list(tmp_path.glob("rank-*"))) == 2)
        members = list(ranks_of(stage).values())
        told = {path.name: path.read_text() for path in tmp_path.glob("rank-*")}
        assert set(told.values()) == {f"{member.pid} of 2" for member in members}
        stage.send_signal(sent)
        wait_until(lambda: not any(member.is_running() for member in members), 60)
        assert stage.wait(60) != 0
    finally:
        stage.kill()


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that train_lora needs, 32 steps of it."""
    folder = tmp_path_factory.mktemp("patients")
    saved = save_generator(folder)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["generator"] = {"path": str(saved.folder), "ip_adapter": "none"}
    values["train_lora"] = SECTION | {"batch_size": 4, "epochs": 32, "checkpoint_every": 4, "grid_every": 8}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    write_faces(folder / "faces", coloured_faces())
    return folder


def train_alone(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Tensor]:
    """Train the LoRA in this process, or go on, and return its weights."""
    params = load(folder / "params.yaml")
    section = params.train_lora.model_copy(update=changes)
    with monkeypatch.context() as here:
        here.chdir(folder)
        files = (Path("faces"), Path("lora"), Path("lora.json"))
        train_lora.run(*files, params.generator, section)
    return lora(folder)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(4 * PATIENCE_SECONDS)
def test_two_processes_train_the_lora_of_one_and_go_on_when_one_is_killed(
    patients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "two", "killed", "other", "taken_over")
    *fresh, taken_over = (tmp_path / name for name in names)
    one, two, killed, other = fresh
    for folder in fresh:
        shutil.copytree(patients, folder)
    alone = train_alone(one, monkeypatch)
    code, said = end(begin(LORA, two), two)
    assert code == 0, said
    assert distance(lora(two), alone) < TOLERANCE
    assert (two / "lora.json").read_text() == (one / "lora.json").read_text()
    assert sorted(digests(two / "lora")) == sorted(digests(one / "lora"))
    assert distance(train_alone(other, monkeypatch, seed=4), alone) > 100 * TOLERANCE

    stage = begin(LORA, killed, TORCHRUN)
    wait_until(lambda: any(killed.glob(".scratch/train_lora-*/checkpoint.pt")))
    ranks_of(stage)[1].kill()
    code, said = end(stage, killed)
    assert code != 0
    assert not (killed / "lora").exists()
    shutil.copytree(killed, taken_over)
    code, said = end(begin(LORA, killed, TORCHRUN), killed)
    assert code == 0, said
    assert digests(killed / "lora") == digests(two / "lora")
    assert distance(train_alone(taken_over, monkeypatch), alone) < TOLERANCE


@pytest.mark.slow
@pytest.mark.timeout(4 * PATIENCE_SECONDS)
def test_two_processes_train_the_de_identifier_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    one.mkdir()
    params = parameters(write_workspace(one), steps=4, batch_size=4, halve_at=[3], grid_every=2)
    (one / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    shutil.copytree(one, two)
    shutil.copytree(one, other)
    told = deidentifier_alone(one, params, monkeypatch)
    code, said = end(begin(DEID, two), two)
    assert code == 0, said
    assert distance(deidentifier(two), told) < DEID_TOLERANCE
    assert sorted(digests(two / "deid")) == sorted(digests(one / "deid"))
    reseeded = params.train_deid.model_copy(update={"seed": 8})
    elsewhere = deidentifier_alone(other, params.model_copy(update={"train_deid": reseeded}), monkeypatch)
    assert distance(elsewhere, told) > 100 * DEID_TOLERANCE


def deidentifier(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "deid/model.safetensors")


def deidentifier_alone(folder: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Train MedSem-DeID in this process and return its weights."""
    with monkeypatch.context() as here:
        here.chdir(folder)
        files = (Path("data/mema"), Path("encoder"), Path("deid"), Path("deid.json"))
        train_deid.run(*files, params.generator, params.train_deid)
    return deidentifier(folder)
