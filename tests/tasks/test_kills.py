"""SIGKILL in the middle of sampling and of training: one command takes it up, and the bytes are the same."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mema.runtime import entry, shards
from tests.tasks.synthesize.test_sample import plan_of, write_lora, write_public
from tests.tasks.synthesize.test_train_lora import SECTION, digests, write_faces
from tests.toys.generator import SavedGenerator, coloured_faces, save_generator
from tests.worlds.edited_project import copy_packages

ROOT = entry.ROOT
PATIENCE_SECONDS = 500  # seconds on an idle machine
COMMANDS = {
    "sample": "--plan plan.parquet --lora lora --public-faces public --samples out",
    "train_lora": "--faces faces --lora out --metrics metrics.json",
}

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(4 * PATIENCE_SECONDS)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedGenerator:
    return save_generator(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code: an edit between kill and resume would rightly start anew."""
    folder = tmp_path_factory.mktemp("code")
    copy_packages(folder)
    return folder


def workspace(folder: Path, saved: SavedGenerator) -> Path:
    """A working directory: dvc.yaml and params.yaml, a plan of twelve shards, a LoRA, public and patients' faces."""
    folder.mkdir()
    shutil.copy(ROOT / "dvc.yaml", folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["generator"] = {"path": str(saved.folder), "ip_adapter": str(saved.ip_adapter)}
    params["train_lora"] = SECTION | {"epochs": 6, "checkpoint_every": 4, "grid_every": 2}
    params["sample"] |= {"num_inference_steps": 20, "batch_size": 2, "shard_rows": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    shards.write_table(folder / "plan.parquet", plan_of(24))
    write_public(folder / "public")
    write_lora(saved, folder / "lora")
    write_faces(folder / "faces", coloured_faces())
    return folder


def start(stage: str, folder: Path, code: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", f"tasks.synthesize.{stage}", *COMMANDS[stage].split()]
    log = (folder / "log.txt").open("w")
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(code)}, stderr=log)


def finish(stage: str, folder: Path, code: Path) -> str:
    """Run the stage to its end and return what it logged."""
    process = start(stage, folder, code)
    try:
        status = process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
    log = (folder / "log.txt").read_text()
    assert status == 0, log
    return log


def kill_when(stage: str, folder: Path, code: Path, ready: Callable[[], bool]) -> None:
    """Start the stage and kill it the hard way as soon as `ready`."""
    process, deadline = start(stage, folder, code), time.monotonic() + PATIENCE_SECONDS
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (folder / "log.txt").read_text()
    assert not (folder / "out").exists()


def identities(folder: Path, pattern: str) -> dict[str, int]:
    """Inodes by name: outs are links of the scratch files, and a file made again has another."""
    return {file.name: file.stat().st_ino for file in folder.glob(pattern)}


def test_a_killed_sample_goes_on_behind_its_finished_shards(saved: SavedGenerator, code: Path, tmp_path: Path):
    undisturbed = workspace(tmp_path / "undisturbed", saved)
    finish("sample", undisturbed, code)
    killed = workspace(tmp_path / "killed", saved)
    shard = ".scratch/sample-?[!o]*/shard-*"  # named by hex digits; sample-donors-* holds other shards
    kill_when("sample", killed, code, lambda: len(list(killed.glob(f"{shard}.sha256"))) >= 3)
    whole = [file.stem for file in killed.glob(f"{shard}.sha256")]
    finished = identities(killed, f"{shard}.parquet")
    finished = {name: inode for name, inode in finished.items() if Path(name).stem in whole}
    assert 3 <= len(finished) < 12
    assert f"{len(finished)} of 12 shards already done" in finish("sample", killed, code)
    assert finished.items() <= identities(killed, "out/*.parquet").items()
    assert digests(killed / "out") == digests(undisturbed / "out")
    assert all((path / ".published").exists() for path in killed.glob(".scratch/sample-*"))


def test_a_killed_training_goes_on_from_its_checkpoint(saved: SavedGenerator, code: Path, tmp_path: Path):
    undisturbed = workspace(tmp_path / "undisturbed", saved)
    finish("train_lora", undisturbed, code)
    killed = workspace(tmp_path / "killed", saved)
    late = ".scratch/train_lora-*/grids/step-000006.png"  # behind the checkpoint of step 4
    kill_when("train_lora", killed, code, lambda: any(killed.glob(late)))
    covered = identities(killed, ".scratch/train_lora-*/grids/step-00000[24].png")
    assert len(covered) == 2
    assert len(list(killed.glob(".scratch/train_lora-*/grids/*.png"))) < 6
    log = finish("train_lora", killed, code)
    assert covered.items() <= identities(killed, "out/grids/*.png").items()
    assert len(list(killed.glob("out/grids/*.png"))) == 6
    assert digests(killed / "out") == digests(undisturbed / "out")
    assert (killed / "metrics.json").read_bytes() == (undisturbed / "metrics.json").read_bytes()
    assert all((path / ".published").exists() for path in killed.glob(".scratch/train_lora-*"))
    assert "secret" not in log
