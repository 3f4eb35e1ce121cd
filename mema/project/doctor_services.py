"""What a machine reaches over the network or a mount: each is asked for three seconds at most."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import httpx

from mema import params
from mema.project import prefect_access, process, remotes
from mema.runtime import ray_access
from mema.runtime.addresses import listens_everywhere, require_private

SECONDS = 3
JOIN_SECONDS = 30  # for a Ray driver to join a cluster that has answered
JOIN = """
import json, logging, ray
ray.init(log_to_driver=False, logging_level=logging.ERROR)
nodes = [node for node in ray.nodes() if node["Alive"]]
print(json.dumps([len(nodes), sum(n["Resources"].get("CPU", 0) for n in nodes),
                  sum(n["Resources"].get("GPU", 0) for n in nodes)]))
"""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; an empty remedy means that all is well."""

    what: str
    found: str
    remedy: str = ""
    fatal: bool = True

    @property
    def mark(self) -> str:
        """`ok`, `note` for what can wait, or `FAIL`."""
        return "ok" if not self.remedy else "FAIL" if self.fatal else "note"


def within(ask: Callable[[], Answer], seconds: float = SECONDS) -> Answer:
    """Return what `ask` returns; raises its error, or TimeoutError when it takes longer."""
    got: list[Answer] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            got.append(ask())
        except Exception as error:  # whatever it is, the caller's thread raises it
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not got:
        raise TimeoutError(f"no answer in {seconds:g} s")
    return got[0]


def ask_http(url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """Return the JSON (or text) that a server answers; raises OSError or TimeoutError where it does not."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})

    def ask() -> Any:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.read().decode()

    text = within(ask)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _label_studio(what: str) -> Finding:
    from mema.label_studio.server.access import target_here

    needed = params.load().inputs.annotations == "data/label_studio"
    try:
        url = target_here().url
    except ValueError:
        found = "not started" if needed else "not started; readers are simulated"
        return Finding(what, found, "make label-studio" if needed else "", fatal=False)
    try:
        require_private("LABEL_STUDIO_URL", url)
        found = str(ask_http(f"{url}/api/version").get("release", "?"))
        if told := within(lambda: _answers_strangers(url)):
            remedy = "make label-studio-stop label-studio: it answers its own pages only (docs/annotating.md)"
            return Finding(what, f"{url} {told}", remedy)
    except ValueError as error:
        return _refused(what, error)
    except (OSError, AttributeError, httpx.HTTPError) as error:
        remedy = "make label-studio, or set LABEL_STUDIO_URL to a server that runs"
        return Finding(what, f"{url}: {_why(error)}", remedy, fatal=needed)
    if listens_everywhere(url):
        return _everywhere(what, url, "make label-studio-stop label-studio")
    pins = dict(re.findall(r"^(label[_-]studio)==(\S+)$", Path("constraints-label-studio.txt").read_text(), re.M))
    wanted = next(iter(pins.values()), found)
    return Finding(what, f"{found} at {url}", "" if found == wanted else f"tested with {wanted}", fatal=False)


def _everywhere(what: str, url: str, remedy: str) -> Finding:
    return Finding(what, f"{url} listens on every address of this machine, without TLS", remedy)


def _answers_strangers(url: str) -> str:
    """Return to whom a Label Studio answers that is none of its own pages, or nothing."""
    stranger = "https://stranger.invalid"
    with httpx.Client(base_url=url, timeout=SECONDS) as client:
        if client.get("/api/version", headers={"Host": "stranger.invalid"}).is_success:
            return "answers to any name, so a page of another site reads it (ALLOWED_HOSTS)"
        allowed = client.get("/api/version", headers={"Origin": stranger})
        if allowed.headers.get("access-control-allow-origin") in ("*", stranger):
            return "lets pages of other sites read its answers (CORS)"
    return ""


def _prefect(what: str) -> Finding:
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        found = "PREFECT_API_URL is not set: each flow starts a server of its own"
        return Finding(what, found, "make server, then export the URL that it prints", fatal=False)
    try:
        within(lambda: prefect_access.require_closed(url), 2 * SECONDS)
        login = prefect_access.headers()
        found = str(ask_http(f"{url}/admin/version", headers=login))
        pools = ask_http(f"{url}/work_pools/filter", {}, login)
    except ValueError as error:
        return _refused(what, error)
    except (OSError, httpx.HTTPError) as error:
        return Finding(what, f"{url}: {_why(error)}", "make server, or set PREFECT_API_URL to one that runs")
    if listens_everywhere(url):
        return _everywhere(what, url, "end it, then make server")
    states = {pool["name"]: pool.get("status") or "?" for pool in pools}
    told = ", ".join(f"{name} {state.lower()}" for name, state in states.items()) or "no pools"
    found, ours = f"{found} at {url}; {told}", version("prefect")
    if not found.startswith(ours):
        return Finding(what, found, f"this checkout speaks {ours}; make server here, or set the same version")
    idle = [name for name, state in states.items() if state != "READY"]
    remedy = "make deploy" if not states else f"make worker POOL={idle[0]}" if idle else ""
    return Finding(what, found, remedy, fatal=False)


def _ray(what: str) -> Finding:
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        return Finding(what, "RAY_ADDRESS is not set: stages run on this machine")
    if not find_spec("ray"):
        return Finding(what, "not installed, and RAY_ADDRESS is set", "pip install -e '.[ray]', or unset it")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        try:
            within(lambda: socket.create_connection((host, int(port)), SECONDS).close())
        except OSError as error:
            return Finding(what, f"{address}: {_why(error)}", "ray start --head there, or unset RAY_ADDRESS")
    try:
        ray_access.require_token(address)
    except ValueError as error:
        return _refused(what, error)
    try:
        done = subprocess.run(
            [sys.executable, "-c", JOIN], env=process.environment() | {"RAY_USAGE_STATS_ENABLED": "0"},
            capture_output=True, text=True, timeout=JOIN_SECONDS, check=True,
        )  # fmt: skip
        nodes, cpus, gpus = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        remedy = f"start this machine's node: ray start --address {address}; the versions must be equal"
        return Finding(what, f"{address} answers, but this machine cannot join", remedy)
    return Finding(what, f"{nodes} nodes, {cpus:g} CPUs, {gpus:g} GPUs at {address}")


def _store(what: str) -> Finding:
    import fsspec

    uri = os.environ.get("MEMA_STORE", "").rstrip("/")
    if not uri:
        found, remedy = "not set: unfinished shards stay in .scratch", ""
        if os.environ.get("RAY_ADDRESS"):
            remedy = "set MEMA_STORE to a folder or bucket that every node reaches, unless there is one node"
        return Finding(what, found, remedy, fatal=False)
    try:
        within(lambda: _probe(*fsspec.core.url_to_fs(uri)))
    except Exception as error:  # each file system has errors of its own
        return Finding(what, f"{uri}: {_why(error)}", "mend the address, the rights or the credentials")
    return Finding(what, f"{uri}: writable")


def _probe(filesystem: Any, path: str) -> None:
    """Write a file below `path`, read it back, and remove it; raises whatever goes wrong."""
    name, data = f"{path.rstrip('/')}/.mema-probe-{uuid.uuid4().hex}", uuid.uuid4().bytes
    filesystem.makedirs(path, exist_ok=True)
    try:
        filesystem.pipe_file(name, data)
        if filesystem.cat_file(name) != data:
            raise OSError("gives back other bytes than were written")
    finally:
        if filesystem.exists(name):
            filesystem.rm_file(name)


def _remotes(what: str) -> Finding:
    from dvc.repo import Repo

    try:
        if not remotes.configured():
            found = "neither is set up: results stay on this machine"
            return Finding(what, found, remotes.SET_UP.format("restricted") + ", likewise public", fatal=False)
    except RuntimeError as error:
        return _refused(what, error)
    with Repo() as repo:
        for name in remotes.NAMES:
            try:
                remote = repo.cloud.get_remote(name)
                within(lambda remote=remote: _probe(remote.fs, remote.path))
            except Exception as error:  # each file system has errors of its own
                return Finding(what, f"{name}: {_why(error)}", "mend its URL, the rights or the credentials")
    return Finding(what, "restricted and public: both writable")


def _refused(what: str, error: Exception) -> Finding:
    """Return a sentence of `what is wrong; what to do` as a finding."""
    found, _, remedy = str(error).rpartition("; ")
    return Finding(what, found, remedy)


def _why(error: Exception) -> str:
    """Return an error in a few words, without what a server may have written into it."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    reason = getattr(error, "reason", error)
    return f"{type(reason).__name__}: {getattr(reason, 'strerror', None) or reason}"[:120]


CHECKS: dict[str, Callable[[str], Finding]] = {
    "Label Studio": _label_studio,
    "Prefect": _prefect,
    "Ray": _ray,
    "MEMA_STORE": _store,
    "remotes": _remotes,
}
