"""`make label-studio`: server, accounts and SAM backend, started, stopped, and found running."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from mema.label_studio.exchange.client import LabelStudio, check_version
from mema.label_studio.server import environment, processes
from mema.label_studio.server.access import SAM_HOST, SAM_PORT
from mema.label_studio.server.places import SERVED_LINK, Account, Accounts, Places, read_accounts, write_accounts
from mema.label_studio.server.server_settings import settings
from mema.runtime.addresses import is_loopback

BOOT_SECONDS = 600
MAIL_DOMAIN = "mema.local"
VARIABLES = {"server": "LABEL_STUDIO_PORT", "backend": "MEMA_SAM_PORT"}
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}  # else idle threads of the decoder spin on the cores that the readers need


def start(
    places: Places,
    names: Iterable[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    sam_port: int = SAM_PORT,
    sam: bool = True,
) -> Accounts:
    """Start what does not run yet, and return the accounts; a second call changes nothing.

    Without `sam` the backend is left out. Raises ValueError where others would reach the server without TLS.
    """
    if not is_loopback(host):
        raise ValueError(
            f"LABEL_STUDIO_HOST: {host}; allowed is a loopback address such as 127.0.0.1, since the server speaks "
            "without TLS. For other machines put a proxy with a certificate before it, and set LABEL_STUDIO_URL to "
            "its https:// address (docs/annotating.md)"
        )
    names, url = list(names), f"http://{f'[{host}]' if ':' in host else host}:{port}"
    variables = settings(places, url, sam_port)
    bin_folder = environment.ensure(places)
    _prepare(places)
    command = [bin_folder / "label-studio", "start", "--no-browser", "--internal-host", host, "--port", str(port)]
    _start(places, "server", command, variables, (host, port, url))
    check_version(url)
    accounts = make_accounts(places, bin_folder, names, url)
    with LabelStudio(url, accounts.readers[names[0]].token, who=names[0], accounts=places.accounts) as client:
        client.get("/api/current-user/whoami")  # the server that answers has the database that we wrote to
    if sam:
        backend = [sys.executable, "-m", "mema.label_studio.sam.backend", "--port", str(sam_port)]
        listens = (SAM_HOST, sam_port, f"http://{SAM_HOST}:{sam_port}")
        _start(places, "backend", [*backend, "--root", str(places.root)], dict(os.environ) | QUIET, listens)
    return accounts


def _prepare(places: Places) -> None:
    for folder in (places.root, places.data, places.files, places.served):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    link = places.served / SERVED_LINK
    if not link.is_symlink():
        link.symlink_to(Path("..") / places.files.name)


def _start(
    places: Places, name: str, command: Sequence[str | Path], environment: dict[str, str], listens: tuple[str, int, str]
) -> None:
    """Start a program where it does not run, and wait until it answers."""
    host, port, url = listens
    present = processes.address(places, name)
    if present and present != url:
        raise ValueError(f"{VARIABLES[name]}: the {name} runs at {present}; make label-studio-stop, then start it")
    if not present:
        _check_free(host, port, VARIABLES[name])
        processes.start(places, name, command, environment, url)
    wait_until_up(places, name, f"{url}/health")
    print(f"{name}: {'was running' if present else 'started'} at {url}", flush=True)


def wait_until_up(places: Places, name: str, address: str, seconds: float = BOOT_SECONDS) -> None:
    """Wait for the first good answer; raises ValueError with the log's end if the program ends before it."""
    import httpx

    deadline = time.monotonic() + seconds
    with tqdm(
        desc=f"{name} starts", bar_format="{desc}: {elapsed}", mininterval=1 if sys.stderr.isatty() else 10
    ) as line:
        while True:
            line.update()
            try:
                if httpx.get(address, timeout=5).is_success:
                    return
            except httpx.HTTPError:
                pass
            if processes.running(places, name) is None:
                raise ValueError(
                    f"{name}: ended while starting; {places.log(name)} says:\n{processes.last_lines(places.log(name))}"
                )
            if time.monotonic() > deadline:
                raise ValueError(f"{name}: no answer at {address} within {seconds:.0f} s; look at {places.log(name)}")
            time.sleep(0.5)


def _check_free(host: str, port: int, variable: str) -> None:
    """The server would silently take the next free port; its readers would not find it there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"{variable}: {host}:{port} cannot be used ({error.strerror}); "
                f"another program listens there, or set {variable} to a free port"
            ) from None


def make_accounts(places: Places, bin_folder: Path, names: list[str], url: str) -> Accounts:
    """Make the accounts that are missing and write accounts.json; known passwords stay as they are."""
    known = read_accounts(places).readers if places.accounts.exists() else {}
    wishes = {
        name: {
            "email": known[name].email if name in known else f"{name}@{MAIL_DOMAIN}",
            "password": known[name].password if name in known else None,
        }
        for name in names
    }
    done = subprocess.run(
        [bin_folder / "python", "-P", "-m", "mema_accounts"],
        input=json.dumps(wishes),
        capture_output=True,
        text=True,
        env=settings(places) | {"LOG_LEVEL": "ERROR"},
        check=False,
    )
    if done.returncode:
        raise ValueError(f"accounts: not made: {(done.stderr.strip() or done.stdout).splitlines()[-1:]}")
    made = {name: Account(**entry) for name, entry in json.loads(done.stdout.splitlines()[-1]).items()}
    accounts = Accounts(url, known | made)
    if not places.accounts.exists() or accounts != read_accounts(places):
        write_accounts(places, accounts)
    return accounts


def stop(places: Places) -> list[str]:
    """End the backend and the server, each if it runs; return the names of those that did."""
    return [name for name in ("backend", "server") if processes.stop(places, name)]
