"""The backend as a process of its own: killed between two clicks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mema.label_studio.server.access import SAM_HOST
from models.segmentation.masks import mask_sha256
from tests.e2e.processes import free_port
from tests.toys.sam import save_sam
from tests.worlds.click import KEYS, Site, body, build_site, logged, masks, region


@contextmanager
def served(site: Site, port: int) -> Iterator[subprocess.Popen]:
    """Run the backend as the project does, until the block ends."""
    options = {
        "port": port,
        "root": site.root,
        "sam": site.sam_path,
        "embeddings": site.embeddings,
        "subset": site.subset,
        "manifest": site.manifest,
    }
    command = [sys.executable, "-m", "mema.label_studio.sam.backend"]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen(command, env=os.environ | {"PREFECT_API_URL": ""}) as process:
        try:
            _wait(port, process)
            yield process
        finally:
            process.terminate()


def _wait(port: int, process: subprocess.Popen) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            httpx.get(f"http://{SAM_HOST}:{port}/health", timeout=1).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the backend did not come up")


@pytest.mark.slow
def test_killed_between_two_clicks(tmp_path: Path) -> None:
    """A kill leaves the log whole, even with a line cut in it, and the reader goes on."""
    site, port = build_site(tmp_path, save_sam(tmp_path / "sam")), free_port()
    url = f"http://{SAM_HOST}:{port}/predict"
    with served(site, port) as process:
        first = masks(httpx.post(url, json=body(region(60, 70), image=1), timeout=60).json())[0]
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    before = site.log.read_bytes()
    with site.log.open("ab") as handle:
        handle.write(before[:100])
    (site.root / "files" / f"{KEYS[1]}.png").unlink()  # its embedding is kept
    with served(site, port):
        second = masks(httpx.post(url, json=body(region(60, 70), image=1), timeout=60).json())[0]
    assert (second == first).all()
    proposals, damaged = logged(site.log)
    assert ([item.mask_sha256 for item in proposals], damaged) == ([mask_sha256(first)] * 2, 1)
    assert site.log.read_bytes().startswith(before)
