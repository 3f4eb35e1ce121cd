"""`make server`: Prefect's server on this machine's loopback address, closed to everybody without the login."""

import os
import sys
from urllib.parse import urlsplit

from mema.project import prefect_access
from mema.runtime import addresses

HOST, PORT = "127.0.0.1", 4200


def listens() -> tuple[str, int]:
    """Return host and port; raises ValueError where they would be seen from other machines."""
    url = urlsplit(os.environ.get("PREFECT_API_URL", ""))
    host = os.environ.get("PREFECT_SERVER_API_HOST") or HOST
    if not addresses.is_loopback(host):
        raise ValueError(
            f"PREFECT_SERVER_API_HOST: {host}; allowed is a loopback address such as {HOST}, since the server speaks "
            "without TLS. For other machines put a proxy with a certificate before it (docs/operating.md, Prefect)"
        )
    here = url.scheme == "http" and addresses.is_loopback(url.hostname or "")
    port = os.environ.get("PREFECT_SERVER_API_PORT") or (url.port if here else None) or PORT
    try:
        return host, int(port)
    except ValueError:
        raise ValueError(f"PREFECT_SERVER_API_PORT: {port!r}; allowed: a number, such as {PORT}") from None


def main() -> None:
    """Become the server; its login goes by the environment, where no list of processes shows it."""
    try:
        host, port = listens()
        login = prefect_access.login(make=True)
    except ValueError as error:
        sys.exit(str(error))
    page = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    os.environ |= {prefect_access.SERVER: login, prefect_access.CLIENT: login}
    # the page asks its own server only; a page of anybody else's gets no answer that it may read
    os.environ.setdefault("PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS", page)
    print(f"{page} asks for the login in {prefect_access.FILE}", flush=True)
    command = ["-m", "prefect", "--no-prompt", "server", "start", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
