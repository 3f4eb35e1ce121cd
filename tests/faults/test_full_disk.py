"""A full disk while shards are written or put in place: one clear line, no half shard, and the same command goes on."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Tally
from tests.faults.small_project import ROOT
from tests.tasks.synthesize.test_ingest_resume import hospital

NUM_PHOTOS = 40  # one a shard, some 20 kB each
ROOM_KB = 400  # for some of them
OUTS = "--faces outs/faces --quarantine outs/q.parquet --metrics outs/m.json"
STAGE = f"{sys.executable} -m tasks.synthesize.ingest_patients --source raw {OUTS}"
SCRIPT = f"""
mount -t tmpfs -o size={ROOM_KB}k tmpfs $PLACE || exit 77
{STAGE} 2> full.log
echo $? > full.code
mkdir -p $KEPT
cp -r $PLACE/. $KEPT
mount -o remount,size=100m $PLACE
{STAGE} 2> again.log
echo $? > again.code
cp -r outs final
"""
pytestmark = [pytest.mark.faults, pytest.mark.slow]


def namespace() -> list[str]:
    """Return the command that gives a shell mounts of its own; skips where the system lets nobody have them."""
    flags = "-m" if os.geteuid() == 0 else "-rm"
    probe = ["unshare", flags, "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("neither root nor user namespaces here: a small tmpfs cannot be mounted")
    return ["unshare", flags, "sh", "-c"]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def digests(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    hospital(folder, NUM_PHOTOS)
    subprocess.run(STAGE.split(), cwd=folder, env=environment(), check=True, capture_output=True)
    return digests(folder / "outs")


def whole_shards(folder: Path) -> int:
    """Return how many shards equal their checksum; one that has a checksum and does not is a failure."""
    checksums = list(folder.rglob("*.sha256"))
    for checksum in checksums:
        shard = checksum.with_suffix(".parquet")
        assert hashlib.sha256(shard.read_bytes()).hexdigest() == checksum.read_text(), shard.name
    return len(checksums)


@pytest.mark.parametrize("place", [".scratch", "outs"])
def test_after_a_full_disk_the_same_command_goes_on(
    tmp_path: Path, undisturbed: dict[str, str], tally: Tally, place: str
) -> None:
    hospital(tmp_path, NUM_PHOTOS)
    (tmp_path / place).mkdir()
    script = [*namespace(), SCRIPT]
    subprocess.run(script, cwd=tmp_path, env=environment(PLACE=place, KEPT="kept"), check=True, timeout=300)
    log = (tmp_path / "full.log").read_text()
    assert (tmp_path / "full.code").read_text() == "1\n", log
    assert re.search("no space left.*the same command goes on", log.strip().splitlines()[-1]), log
    assert "Traceback" not in log
    kept = whole_shards(tmp_path / "kept") if place == ".scratch" else NUM_PHOTOS
    assert not list((tmp_path / "kept").rglob("*.tmp"))
    assert place == "outs" or 0 < kept < NUM_PHOTOS
    again = (tmp_path / "again.log").read_text()
    assert (tmp_path / "again.code").read_text() == "0\n", again
    done = re.search(r"(\d+) of \d+ shards already done", again)
    tally("full disk", faults=1, redone=kept - int(done[1]) if done else kept)
    assert done, again
    assert int(done[1]) == kept
    assert digests(tmp_path / "final") == undisturbed


def test_a_file_over_its_limit_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path, undisturbed: dict[str, str], tally: Tally
) -> None:
    hospital(tmp_path, NUM_PHOTOS)
    limited = ["sh", "-c", f"ulimit -f 8; exec {STAGE}"]  # blocks of 512 bytes
    done = subprocess.run(limited, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no space left" in done.stderr.strip().splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr
    assert whole_shards(tmp_path / ".scratch") == 0
    subprocess.run(STAGE.split(), cwd=tmp_path, env=environment(), check=True, capture_output=True)
    tally("full disk", faults=1)
    assert digests(tmp_path / "outs") == undisturbed


CHECKPOINT = """
import torch
from pathlib import Path
from models.training.checkpoint import save_checkpoint
from mema.runtime import stage
network = torch.nn.Linear(1000, 1000)
stage.start(lambda: save_checkpoint(Path('checkpoint.pt'), 1, torch.optim.Adam(network.parameters()), net=network))
"""


def test_a_checkpoint_that_finds_no_room_is_said_in_one_line(tmp_path: Path, tally: Tally) -> None:
    limited = ["sh", "-c", f'ulimit -f 8; exec {sys.executable} -c "$CODE"']
    done = subprocess.run(
        limited, cwd=tmp_path, env=environment(CODE=CHECKPOINT), capture_output=True, text=True, check=False
    )
    tally("full disk", faults=1)
    assert done.returncode == 1
    assert "no space left" in done.stderr.strip().splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "checkpoint.pt").exists()
