"""`make worker POOL=gpu`: a Prefect worker on this machine, with its pool and its GPU's limit made if missing."""

import os
import re
import socket
import subprocess
import sys
import time

import httpx

from flows.workspace import ROOT
from mema.project import prefect_access
from mema.runtime import addresses

POOLS = ("cpu", "gpu")
START_SECONDS = 60


def prefect(*arguments: str, quiet: bool = False) -> int:
    """Run Prefect's command line; return its exit code."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    return subprocess.run(command, capture_output=quiet, check=False).returncode


def join_server() -> None:
    """Make the pools that prefect.yaml names, and let Prefect's commands use the login.

    Ends this process where no server answers within a minute, where it is open to others, or refuses the login.
    """
    url, deadline = os.environ.get("PREFECT_API_URL", ""), time.monotonic() + START_SECONDS
    try:
        addresses.require_private("PREFECT_API_URL", url)
        while not answers(url):
            if time.monotonic() > deadline:
                sys.exit(f"no Prefect server answers at {url}; `make server` starts one")
            time.sleep(1)
        if "PREFECT_API_KEY" not in os.environ:
            os.environ |= prefect_access.variables()
        prefect_access.require_closed(url)
    except (ValueError, httpx.HTTPError) as error:
        sys.exit(str(error))
    for pool in POOLS:
        if prefect("work-pool", "inspect", pool, quiet=True):
            prefect("work-pool", "create", pool, "--type", "process")


def answers(url: str) -> bool:
    """Tell whether a server is up; one that starts for the first time takes half a minute."""
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def main(pool: str) -> None:
    """Become the worker of a pool."""
    if pool not in POOLS:
        sys.exit(f"POOL: {pool!r}; allowed: {', '.join(POOLS)}")
    machine = re.sub(r"[^\w-]", "-", socket.gethostname())
    join_server()
    if pool == "gpu":
        os.environ["MEMA_GPU"] = machine
        limit = f"gpu:{machine}"
        if prefect("global-concurrency-limit", "inspect", limit, quiet=True):
            prefect("global-concurrency-limit", "create", limit, "--limit", "1")
    os.environ.setdefault("MEMA_WORKSPACE", str(ROOT / ".workspaces"))
    os.execv(
        sys.executable,
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", f"{machine}-{pool}"],
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
