"""Whether a Ray cluster asks for its token.

One that does not runs anybody's code on its nodes, with patients' photos beside it.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

from mema.runtime.addresses import is_loopback

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
PROBE_SECONDS = 60
# Asks the head as a stranger would, in a process of its own: Ray reads its mode once.
PROBE = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_keys(b"", namespace=None, timeout=5)
except AuthenticationError:
    print("closed")
else:
    print("open")
"""
REMEDY = (
    "start every node with RAY_AUTH_MODE=token and the same token, and set both here (docs/operating.md, A cluster)"
)


def require_closed(address: str) -> None:
    """Raise ValueError where strangers could use the cluster of an address, this machine's own loopback left out."""
    if is_loopback(host_of(address)):
        if wants_token():
            require_private_token()
    else:
        require_token(address)


def require_token(address: str) -> None:
    """Raise ValueError unless this process has a token of its own, and the cluster answers nobody without."""
    if not wants_token():
        raise ValueError(
            f"{MODE}: {os.environ.get(MODE, 'not set')!r}, so {address} is joined without a token; {REMEDY}"
        )
    require_private_token()
    if is_open(address):
        raise ValueError(f"RAY_ADDRESS: {address} answers without a token; {REMEDY}")


def wants_token() -> bool:
    """Tell whether this process joins clusters by a token."""
    return os.environ.get(MODE, "").lower() == "token"


def require_private_token() -> None:
    """Raise ValueError where there is no token, or others may read its file."""
    if os.environ.get(TOKEN):
        return
    file = Path(os.environ.get(TOKEN_PATH) or Path.home() / ".ray/auth_token")
    try:
        found = file.stat()
    except OSError:
        raise ValueError(f"{TOKEN_PATH}: no token at {file}; copy the head's there, mode 0600") from None
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise ValueError(f"{TOKEN_PATH}: others may read {file}; chmod 600 it, and make a new token for the nodes")


def is_open(address: str) -> bool:
    """Ask a head without a token; raises ValueError where nobody answers, or the address cannot be asked."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ValueError(
            f"RAY_ADDRESS: {address!r} cannot be asked whether it wants a token; allowed: the head's host:port"
        )
    stranger = {k: v for k, v in os.environ.items() if k not in (TOKEN, TOKEN_PATH)} | {MODE: "disabled"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, address], env=stranger, capture_output=True, text=True,
            timeout=PROBE_SECONDS, check=True,
        )  # fmt: skip
    except subprocess.SubprocessError:
        raise ValueError(f"RAY_ADDRESS: no Ray head answers at {address}; is it its host:port?") from None
    return "closed" not in done.stdout.split()


def host_of(address: str) -> str:
    """Return the host of an address; empty for "auto" and "local", whose nodes may listen anywhere."""
    return address.removeprefix("ray://").rpartition(":")[0]
