"""Unfinished work in a bucket: an S3 server that runs here, that answers badly, and that gives back damaged bytes."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import httpx
import pyarrow as pa
import pytest

from mema.runtime import durable, shards, store
from tests.e2e.processes import free_port, running, wait_for
from tests.faults.conftest import tally
from tests.faults.proxy import KINDS, FaultProxy, fault_proxy

__all__ = ["tally"]
pytest.importorskip("moto", reason="the tests' S3 server is not installed")
ROWS = pa.table({"value": list(range(24))})
SETTINGS = {"shard_rows": 4, "stage": "toy", "fingerprint": "f", "desc": "toy"}
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Double:
    """Work: adds a column of `factor` times the value; the factor stands in a file."""

    factor: Path

    def load(self) -> Callable[[pa.Table], pa.Table]:
        factor = int(self.factor.read_text())

        def double(part: pa.Table) -> pa.Table:
            return part.append_column("double", pa.array([factor * v for v in part["value"].to_pylist()]))

        return double


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """An S3 server of moto's with a bucket, behind a proxy that fails nothing yet."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(server, folder, dict(os.environ), folder / "log.txt"):
        wait_for(f"http://127.0.0.1:{port}/moto-api/")
        httpx.put(f"http://127.0.0.1:{port}/mema").raise_for_status()
        with fault_proxy(port, share=0) as proxy:
            yield proxy


@pytest.fixture
def bucket(s3: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of its own, named by MEMA_STORE."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "MEMA_STORE": f"s3://mema/{tmp_path.name}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store, "WAITS_SECONDS", (0.05, 0.1, 0.2))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "factor").write_text("2")
    return f"mema/{tmp_path.name}"


def digests(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


def run(out: str) -> dict[str, str]:
    shards.map_shards(ROWS, Double(Path("factor")), Path(out), **SETTINGS)
    return digests(Path(out))


def local_bytes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with monkeypatch.context() as patch:
        patch.delenv("MEMA_STORE")
        return run("here")


@pytest.fixture
def remote(bucket: str) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("s3", use_listings_cache=False)


def test_a_bucket_gives_the_bytes_of_a_folder_and_is_tidied_up(bucket, remote, monkeypatch):
    assert run("there") == local_bytes(monkeypatch)
    left = [name.removeprefix(f"{bucket}/") for name in remote.find(bucket)]
    assert [name for name in left if not name.startswith("inputs/")] == []
    assert [name for name in left if name.endswith("/factor")] != []


@pytest.mark.faults
def test_a_store_out_of_order_loses_and_changes_nothing(bucket, s3, monkeypatch, tally):
    here = local_bytes(monkeypatch)
    monkeypatch.setattr(s3, "share", 0.3)
    assert run("there") == here
    faults = s3.faults.total()
    assert s3.faults.keys() == set(KINDS)
    tally("S3: 500, 429, cut, slow", faults=faults)


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["truncated", "flipped", "lost", "no checksum"])
def test_a_shard_that_is_damaged_in_the_bucket_is_made_again_and_no_other(bucket, remote, monkeypatch, caplog, damage):
    here = local_bytes(monkeypatch)
    shards.compute_shards(ROWS, Double(Path("factor")), **SETTINGS)
    victim = f"{bucket}/toy-f/shard-00002.parquet"
    data = remote.cat_file(victim)
    if damage == "truncated":
        remote.pipe_file(victim, data[:-7])
    elif damage == "flipped":
        remote.pipe_file(victim, data[:20] + bytes([data[20] ^ 1]) + data[21:])
    elif damage == "lost":
        remote.rm(victim)
    else:
        remote.rm(victim.replace("parquet", "sha256"))
    shutil.rmtree(".scratch")
    caplog.set_level("INFO")
    assert run("there") == here
    assert "5 of 6 shards already done" in caplog.text


@pytest.mark.faults
def test_a_bucket_that_is_away_for_good_ends_the_run_and_the_next_goes_on(bucket, remote, monkeypatch):
    here = local_bytes(monkeypatch)
    shards.compute_shards(ROWS.slice(0, 12), Double(Path("factor")), **SETTINGS)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        fsspec.filesystem("s3").clear_instance_cache()
        with pytest.raises(ConnectionError, match=r"MEMA_STORE: s3://mema/\S+ does not answer"):
            run("there")
    fsspec.filesystem("s3").clear_instance_cache()
    assert run("there") == here


def test_what_a_worker_elsewhere_lacks_comes_from_the_bucket_and_goes_with_it(bucket, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/weights").write_bytes(b"weights")
    sent = store.ship(Double(folder), store.scratch())
    code = (
        "import pickle, sys, tempfile; from pathlib import Path; from mema.runtime import store; "
        "path = store.receive(pickle.load(sys.stdin.buffer)); "
        "print(path, (path / 'sub/weights').read_bytes())"
    )
    import pickle

    def elsewhere() -> str:
        pickled = pickle.dumps(sent.factor)
        return subprocess.run(
            [sys.executable, "-c", code], input=pickled, capture_output=True, check=True,
            env=os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])},
        ).stdout.decode()  # fmt: skip

    assert elsewhere().startswith(f"{folder} ")  # the same bytes lie here: nothing is fetched
    shutil.rmtree(folder)
    place, content = elsewhere().split()
    assert content == "b'weights'"
    assert not Path(place).exists()
    folder.mkdir()
    (folder / "other").touch()
    assert not elsewhere().startswith(f"{folder} ")


def test_what_was_changed_in_the_bucket_is_not_loaded(bucket, remote, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    sent = store.ship(path, store.scratch())
    remote.pipe_file(f"{bucket}/inputs/{durable.fingerprint(path)}/weights", b"others")
    path.unlink()
    with pytest.raises(ValueError, match=r"MEMA_STORE: inputs/\w+ is not what was put there"):
        store.receive(sent)
