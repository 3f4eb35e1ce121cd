"""Whether two DVC remotes share a place, however their URLs are spelt; in doubt they do."""

import os
import posixpath
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from mema.runtime.addresses import is_loopback

# Schemes that reach the same files of a host; every other scheme is a world of its own.
FAMILIES = {"sftp": "ssh", "scp": "ssh", "https": "http", "webdav": "http", "webdavs": "http", "s3a": "s3"}
DEFAULT_PORTS = {"http": 80, "https": 443, "webdav": 80, "webdavs": 443, "hdfs": 8020}


def share(one: str, other: str) -> bool:
    """Tell whether one URL's place is the other's, lies in it, or holds it."""
    first, second = place(one), place(other)
    if first.startswith(second) or second.startswith(first):
        return True
    if folders := [folder for url in (one, other) if (folder := local_folder(url))]:
        return len(folders) == 2 and (_lies_in(*folders) or _lies_in(*folders[::-1]))
    return False


def place(url: str) -> str:
    """Return a URL as one string for one place: no user, default port, case, dots, or links of this machine."""
    if folder := local_folder(url):
        return f"{folder}/".casefold().replace("//", "/")
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        port = None
    shown = "" if scheme in ("ssh", "sftp", "scp") or port in (None, DEFAULT_PORTS.get(scheme)) else f":{port}"
    path = posixpath.normpath(f"/{parts.path.strip('/')}").rstrip("/")
    return f"{FAMILIES.get(scheme, scheme)}://{host}{shown}{path}/".casefold()


def local_folder(url: str) -> Path | None:
    """Return the folder of this machine that a URL means, its links followed, or None where it means none."""
    if not re.match(r"\w[\w+.-]*://", url):
        return Path(re.sub(r"^(file|local):", "", url)).expanduser().resolve()
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    here = host in ("", "localhost") or (scheme != "file" and _is_here(host))
    if scheme in ("file", "local") or (scheme in ("ssh", "sftp", "scp") and here):
        return Path(f"/{parts.path.lstrip('/')}").resolve()
    return None


def _is_here(host: str) -> bool:
    return host.casefold() in (socket.gethostname().casefold(), socket.getfqdn().casefold()) or is_loopback(host)


def _lies_in(inner: Path, outer: Path) -> bool:
    """Tell whether a folder is, or is below, another; a mount that shows it elsewhere is the same folder."""
    if not outer.exists():
        return False
    return any(above.exists() and os.path.samefile(above, outer) for above in (inner, *inner.parents))
