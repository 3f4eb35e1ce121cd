"""A real Label Studio server for a test session: own folder, own port, ended by its own pid."""

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from filelock import FileLock

from mema.label_studio.exchange.client import ATTEMPTS
from mema.label_studio.server import environment, processes, server
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import Account, Accounts, Places
from mema.runtime import shards
from models.diseases import DISEASES
from models.images import encode_png
from tests.e2e.processes import free_port

ROOT = Path(__file__).parents[2]
READERS = ("reader_1", "reader_2", "reader_3")
SENIOR = "senior"


@dataclass
class LabelStudioWorld:
    """A running server; `accounts_for` adds readers, so that tests do not meet in one project."""

    places: Places
    port: int
    accounts: Accounts
    sam_port: int  # at which a test may start a backend: the only place that the server calls

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        return self.places.root

    def target(self, sam_url: str = "", attempts: int = ATTEMPTS) -> Target:
        return Target(self.places, self.url, sam_url, attempts)

    def accounts_for(self, *names: str) -> dict[str, Account]:
        """Make accounts; the server's own Python does it, a few seconds a call."""
        bin_folder = environment.ensure(self.places)
        self.accounts = server.make_accounts(self.places, bin_folder, list(names), self.url)
        return {name: self.accounts.readers[name] for name in names}

    def kill(self) -> None:
        """End the server as a power cut would."""
        process = processes.running(self.places, "server")
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)

    def start(self) -> None:
        """Start it again at the same port; seconds, since its database is there."""
        server.start(self.places, self.accounts.readers, port=self.port, sam_port=self.sam_port, sam=False)


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioWorld]:
    """The server; about a minute the first time, and some more where its environment is to be made."""
    places = Places(tmp_path_factory.mktemp("label_studio") / "root")
    if not os.environ.get("MEMA_LABEL_STUDIO_VENV"):
        places.root.mkdir()
        shared = ROOT / ".label_studio"
        with FileLock(ROOT / ".label_studio.lock"):  # several processes run tests
            environment.ensure(Places(shared))
        (places.root / "venv").symlink_to(shared / "venv")
    port, sam_port = free_port(), free_port()
    try:
        accounts = server.start(places, [*READERS, SENIOR], port=port, sam_port=sam_port, sam=False)
        yield LabelStudioWorld(places, port, accounts, sam_port)
    except ValueError:
        print(processes.last_lines(places.log("server"), 50))
        raise
    finally:
        server.stop(places)
        shutil.rmtree(places.root, ignore_errors=True)


def write_images(folder: Path, count: int, size_px: int = 32) -> list[str]:
    """Write a table like data/selected with `count` random pictures; return their ids."""
    image_ids = [hashlib.sha256(f"image {i}".encode()).hexdigest() for i in range(count)]
    generator = np.random.default_rng(7)
    pictures = [encode_png(generator.integers(0, 256, (size_px, size_px, 3), np.uint8)) for _ in range(count)]
    diseases = [DISEASES[i % len(DISEASES)] for i in range(count)]
    table = pa.table({"image_id": image_ids, "image": pictures, "disease": diseases})
    shards.write_shards(table, folder, shard_rows=100)
    return image_ids
