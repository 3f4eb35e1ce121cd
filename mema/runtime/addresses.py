"""Which addresses are of this machine alone, and which may be spoken to without TLS."""

import socket
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import psutil


def is_loopback(host: str) -> bool:
    """Tell whether a host, by name or by number, is this machine's alone; what nobody can resolve is not."""
    host = host.strip("[]")
    if not host:
        return False  # "" means every interface
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return all(_loopback_number(number) for number in found)


def _loopback_number(number: str) -> bool:
    address = ip_address(number.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback


def require_private(variable: str, url: str) -> None:
    """Raise ValueError where what is said to `url` could be read or changed on its way."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{variable}: {url!r} is no address; http://127.0.0.1:4200/api is one")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"{variable}: {parts.hostname} without TLS, so everybody on the way reads the login and changes the "
            "code that runs here; put a proxy with a certificate before the server and write https://"
        )


def listens_everywhere(url: str) -> bool:
    """Tell whether a program of this machine that is asked by loopback can be asked from others too."""
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return False
    listening: list[Any] = [
        entry.laddr for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN
    ]
    return any(at.port == parts.port and at.ip in ("0.0.0.0", "::") for at in listening)
