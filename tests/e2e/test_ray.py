"""Sampling on a Ray cluster of two nodes: equal bytes to one process, also when workers and nodes are killed."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from mema.runtime import shards
from tests.e2e.ray_nodes import Node, cluster
from tests.tasks.synthesize.test_sample import plan_of, write_lora, write_public
from tests.toys.generator import SavedGenerator, save_generator

pytest.importorskip("ray", reason="the extra `ray` is not installed")
ROOT = Path(shards.__file__).parents[2]
SHARDS = 16
LOST = "the shard goes to another one"
pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedGenerator:
    return save_generator(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def expected(saved: SavedGenerator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of one process."""
    folder = workspace(tmp_path_factory.mktemp("one") / "work", saved)
    process = start(folder, {})
    assert process.wait(120) == 0, log_of(folder)
    return digests(folder)


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[str, list[Node]]]:
    # Ray's sockets have paths of at most 107 bytes, which pytest's own folders exceed
    folder = Path(f"/tmp/mema-ray-{os.getpid()}")
    folder.mkdir(mode=0o700)
    try:
        with cluster(folder) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def workspace(folder: Path, saved: SavedGenerator) -> Path:
    """A working directory with a plan of SHARDS shards."""
    folder.mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["generator"] = {"path": str(saved.folder), "ip_adapter": str(saved.ip_adapter)}
    params["sample"] |= {"num_inference_steps": 20, "batch_size": 2, "shard_rows": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    shards.write_table(folder / "plan.parquet", plan_of(2 * SHARDS))
    write_public(folder / "public")
    write_lora(saved, folder / "lora")
    return folder


def start(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tasks.synthesize.sample", "--plan", "plan.parquet", "--lora", "lora",
               "--public-faces", "public", "--samples", "out"]  # fmt: skip
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    with (folder / "log.txt").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=variables, stderr=log)


def log_of(folder: Path) -> str:
    return (folder / "log.txt").read_text(errors="replace")


def digests(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted((folder / "out").iterdir())}


def finished(folder: Path) -> int:
    return len([f for f in folder.glob(".scratch/sample-*/*.sha256") if "donors" not in f.parent.name])


def wait_until(ready: Callable[[], object], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, log_of(folder)
        assert time.monotonic() < deadline, log_of(folder)
        time.sleep(0.02)


@pytest.mark.long
def test_a_killed_driver_leaves_shards_that_the_next_one_takes_up(nodes, saved, expected, tmp_path):
    address, _ = nodes
    folder = workspace(tmp_path / "work", saved)
    process = start(folder, {"RAY_ADDRESS": address, "MEMA_WORKERS": "2"})
    wait_until(lambda: finished(folder) >= 3, process, folder)
    process.kill()
    process.wait()
    done = finished(folder)
    again = start(folder, {"RAY_ADDRESS": address, "MEMA_WORKERS": "1"})
    assert again.wait(200) == 0, log_of(folder)
    assert f"of {SHARDS} shards already done" in log_of(folder)
    assert 3 <= done < SHARDS
    assert digests(folder) == expected


def test_killed_workers_and_a_killed_node_change_no_byte(nodes, saved, expected, tmp_path):
    address, (head, other) = nodes
    folder = workspace(tmp_path / "work", saved)
    process = start(folder, {"RAY_ADDRESS": address})
    wait_until(lambda: finished(folder) >= 2 and head.actors() and other.actors(), process, folder)
    head.actors()[-1].kill()
    wait_until(lambda: LOST in log_of(folder), process, folder)
    before = finished(folder)  # after which no line of the actor's is to come
    wait_until(lambda: finished(folder) >= before + 3, process, folder)
    lost = log_of(folder).count(LOST)
    other.kill()
    assert finished(folder) < SHARDS
    assert process.wait(200) == 0, log_of(folder)
    assert digests(folder) == expected
    log = log_of(folder)
    assert log.count(LOST) > lost, log
    assert "Traceback" not in log


def test_an_address_where_nobody_answers_is_told(saved, tmp_path):
    folder = workspace(tmp_path / "work", saved)
    assert start(folder, {"RAY_ADDRESS": "127.0.0.9:1"}).wait(120) == 1
    assert "RAY_ADDRESS: no cluster answers at 127.0.0.9:1" in log_of(folder)
    assert "Traceback" not in log_of(folder)
