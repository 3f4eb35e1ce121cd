import ipaddress
import socket
from pathlib import Path

import pytest

from mema.label_studio.server import environment, server
from mema.label_studio.server.access import SAM_HOST
from mema.label_studio.server.places import Places
from mema.label_studio.server.server_settings import banned_subnets, settings


def banned(address: str) -> bool:
    return any(
        ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in banned_subnets().split(",")
    )


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.83.65.76", "127.83.65.78", "10.0.0.1", "169.254.169.254", "8.8.8.8", "::1", "2600::1"]
)
def test_the_server_calls_no_address_but_the_backend_s(address: str) -> None:
    assert banned(address)
    assert not banned(SAM_HOST)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_server_that_others_would_reach_without_tls_does_not_start(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError, match=f"LABEL_STUDIO_HOST: {host}; allowed is a loopback address"):
        server.start(Places(tmp_path / "root"), ["reader_1"], host=host)
    assert not (tmp_path / "root").exists()


def test_hosts_and_origins_are_those_of_the_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "*")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    here = settings(Places(tmp_path), "http://127.0.0.1:8123")
    assert here["LABEL_STUDIO_ALLOWED_HOSTS"] == "127.0.0.1,localhost"
    assert here["MEMA_ORIGINS"] == "http://127.0.0.1:8123,http://localhost:8123"
    assert here["LABEL_STUDIO_SESSION_COOKIE_SECURE"] == "0"
    assert "HTTPS_PROXY" not in here, "a proxy would call what the server may not"
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://annotate.example:8443/eyes/")
    there = settings(Places(tmp_path), "http://127.0.0.1:8123")
    assert there["LABEL_STUDIO_ALLOWED_HOSTS"] == "127.0.0.1,annotate.example,localhost"
    assert "https://annotate.example:8443" in there["LABEL_STUDIO_CSRF_TRUSTED_ORIGINS"].split(",")
    assert there["LABEL_STUDIO_SESSION_COOKIE_SECURE"] == there["LABEL_STUDIO_CSRF_COOKIE_SECURE"] == "1"
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://annotate.example")
    with pytest.raises(ValueError, match=r"LABEL_STUDIO_URL: annotate.example without TLS"):
        settings(Places(tmp_path))


def test_the_database_of_the_environment_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_DB", "default")
    monkeypatch.setenv("POSTGRE_HOST", "db.example")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PASSWORD", "of something else")
    passed = settings(Places(tmp_path))
    assert (passed["DJANGO_DB"], passed["POSTGRE_HOST"]) == ("default", "db.example")
    assert passed["PYTHONPATH"].endswith("/in_server"), "our package tasks would hide the server's own"
    assert passed["LABEL_STUDIO_PASSWORD"] == ""
    assert passed["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"


def test_only_images_lie_below_the_document_root(tmp_path: Path) -> None:
    places = Places(tmp_path / "root")
    server._prepare(places)
    server._prepare(places)
    (places.files / "a.png").write_bytes(b"a")
    assert [path.name for path in places.served.iterdir()] == ["images"]
    assert (places.served / "images" / "a.png").read_bytes() == b"a"
    document_root = Path(settings(places)["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"])
    assert document_root == places.served.resolve()
    assert places.root.stat().st_mode & 0o077 == 0


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A root whose environment is said to be complete, with a server program that ends at once."""
    monkeypatch.setenv("MEMA_LABEL_STUDIO_VENV", str(tmp_path / "venv"))
    program = tmp_path / "venv/bin/label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'no such table: user'\nexit 1\n")
    program.chmod(0o755)
    return Places(tmp_path / "root")


def test_a_port_in_use_is_named_before_anything_starts(installed: Places) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=rf"LABEL_STUDIO_PORT: 127.0.0.1:{port} cannot be used"):
            server.start(installed, ["reader_1"], port=port, sam=False)
    assert not installed.pid("server").exists()


def test_a_server_that_ends_while_starting_shows_its_log(installed: Places) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ValueError, match=r"server: ended while starting; .*server.log says:\nno such table"):
        server.start(installed, ["reader_1"], port=port, sam=False)


def test_an_environment_with_the_present_pins_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMA_LABEL_STUDIO_VENV", raising=False)
    monkeypatch.setattr(environment.subprocess, "run", lambda *args, **options: pytest.fail("installs again"))
    places = Places(tmp_path)
    places.venv.mkdir()
    pins = environment.hashlib.sha256(environment.CONSTRAINTS.read_bytes()).hexdigest()
    (places.venv / ".installed").write_text(pins)
    assert environment.ensure(places) == places.venv / "bin"


def test_the_pins_hold_the_supported_version() -> None:
    assert "label-studio==1.23.2" in environment.CONSTRAINTS.read_text().splitlines()
