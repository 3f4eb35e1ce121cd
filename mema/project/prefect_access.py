"""The login of Prefect's server: who has it, runs code on every worker.

It comes from PREFECT_API_AUTH_STRING (Prefect's own variable, `user:password`), else from a file of the checkout that
`make server` makes, readable by its owner alone.
"""

import base64
import os
import secrets
import stat
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from mema.runtime import addresses

FILE = Path(__file__).parents[2] / ".prefect/login"
CLIENT, SERVER = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
USER = "mema"
LEAST_CHARACTERS = 16  # of a password chosen by somebody
SECONDS = 5


def login(*, make: bool = False) -> str:
    """Return `user:password`, or an empty string where there is none; with `make`, one is made then.

    Raises ValueError where it is too short to keep anybody out, or its file is readable by others.
    """
    first, second = (SERVER, CLIENT) if make else (CLIENT, SERVER)
    found = os.environ.get(first) or os.environ.get(second) or _read()
    if found:
        return _checked(found)
    if not make:
        return ""
    FILE.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:  # another server is being started
        return login()
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{USER}:{secrets.token_urlsafe(32)}\n")
    return login()


def _read() -> str:
    try:
        descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    with os.fdopen(descriptor) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise ValueError(f"{FILE}: others may read it; chmod 600 it, or delete it and `make server` anew")
        if not (text := file.read().strip()):
            raise ValueError(f"{FILE}: empty; delete it, and `make server` makes another")
        return text


def _checked(found: str) -> str:
    user, colon, password = found.partition(":")
    if not user or not colon or len(password) < LEAST_CHARACTERS:
        raise ValueError(
            f"{CLIENT}: must be user:password, the password of {LEAST_CHARACTERS} characters or more; unset it, and "
            "`make server` makes one"
        )
    return found


def variables() -> dict[str, str]:
    """Return the environment in which Prefect's own client and its short-lived servers use the login."""
    found = login()
    return {CLIENT: found, SERVER: found} if found else {}


def headers() -> dict[str, str]:
    """Return the login as HTTP headers: Prefect Cloud's key, else the server's login."""
    if key := os.environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    found = login()
    return {"Authorization": "Basic " + base64.b64encode(found.encode()).decode()} if found else {}


def is_open(url: str) -> bool:
    """Tell whether the server of an API's URL answers without a login; raises httpx.HTTPError without an answer."""
    with httpx.Client(timeout=SECONDS) as client:
        return client.get(f"{url.rstrip('/')}/admin/version").is_success


def require_closed(url: str) -> None:
    """Raise ValueError unless the server is reached privately, refuses strangers, and knows our login.

    Raises httpx.HTTPError where it does not answer as a server does.
    """
    addresses.require_private("PREFECT_API_URL", url)
    with httpx.Client(timeout=SECONDS) as client:
        if is_open(url):
            raise ValueError(
                f"PREFECT_API_URL: {urlsplit(url).netloc} answers without a login, so anybody who reaches it runs "
                "code here; end it and start it by `make server`"
            )
        answer = client.get(f"{url.rstrip('/')}/admin/version", headers=headers())
        if answer.status_code in (401, 403):
            raise ValueError(
                f"{CLIENT}: {urlsplit(url).netloc} refuses the login of the variable or of {FILE}; copy it from the "
                "checkout that runs `make server`"
            )
        answer.raise_for_status()
