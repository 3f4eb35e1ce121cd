"""The login of Prefect's server: made once, readable by its owner alone, never sent in the clear."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mema.project import prefect_access
from mema.runtime import addresses


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (prefect_access.CLIENT, prefect_access.SERVER, "PREFECT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(prefect_access, "FILE", tmp_path / ".prefect/login")
    return prefect_access.FILE


def test_the_login_is_made_once_and_kept_from_others(file: Path) -> None:
    assert prefect_access.login() == ""
    assert prefect_access.variables() == prefect_access.headers() == {}
    made = prefect_access.login(make=True)
    assert prefect_access.login() == prefect_access.login(make=True) == made
    assert len(made) > 40
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.unlink()
    assert prefect_access.login(make=True) != made


def test_the_environment_outranks_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    prefect_access.login(make=True)
    monkeypatch.setenv(prefect_access.CLIENT, "me:sixteen characters")
    assert prefect_access.login() == "me:sixteen characters"
    monkeypatch.setenv(prefect_access.SERVER, "the server:sixteen characters")
    assert prefect_access.login() == "me:sixteen characters"
    assert prefect_access.login(make=True) == "the server:sixteen characters"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_file_that_others_read_or_write_is_refused(file: Path, mode: int) -> None:
    prefect_access.login(make=True)
    file.chmod(mode)
    with pytest.raises(ValueError, match="others may read it; chmod 600"):
        prefect_access.login()


def test_a_link_or_an_empty_file_is_no_login(file: Path, tmp_path: Path) -> None:
    prefect_access.login(make=True)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        prefect_access.login()
    file.unlink()
    file.touch(0o600)
    with pytest.raises(ValueError, match="empty; delete it"):
        prefect_access.login(make=True)


@pytest.mark.parametrize("weak", ["admin:pass", "word", ":sixteen characters", "user:"])
def test_a_weak_login_is_refused(weak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(prefect_access.CLIENT, weak)
    with pytest.raises(ValueError, match="must be user:password"):
        prefect_access.login()


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, str]]]:
    """A server that wants the login of its state, or none; what it was told stands there too."""
    state = {"login": "", "seen": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state["seen"] += self.headers.get("authorization", "")
            wanted = "Basic " + base64.b64encode(state["login"].encode()).decode()
            known = not state["login"] or self.headers.get("authorization") == wanted
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(b'"3.8.8"')

        def log_message(self, format: str, *args: object) -> None: ...

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}/api", state
    listening.shutdown()
    listening.server_close()


def test_an_open_server_gets_neither_the_login_nor_a_worker(server: tuple[str, dict[str, str]]) -> None:
    url, state = server
    ours = prefect_access.login(make=True)
    with pytest.raises(ValueError, match="answers without a login, so anybody who reaches it runs code here"):
        prefect_access.require_closed(url)
    assert state["seen"] == ""
    state["login"] = "somebody:else's long login"
    with pytest.raises(ValueError, match="refuses the login of the variable or of"):
        prefect_access.require_closed(url)
    state["login"] = ours
    prefect_access.require_closed(url)


@pytest.mark.parametrize("url", ["http://192.0.2.1:4200/api", "http://[2001:db8::1]/api", "http://0.0.0.0/api"])
def test_nothing_is_said_in_the_clear_to_another_machine(url: str) -> None:
    with pytest.raises(ValueError, match="without TLS"):
        prefect_access.require_closed(url)


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1", "127.0.0.1:4200", "http:///api"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        addresses.require_private("PREFECT_API_URL", url)


@pytest.mark.parametrize(
    ("host", "mine"),
    [
        ("127.0.0.1", True), ("127.9.8.7", True), ("localhost", True), ("::1", True), ("[::1]", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("", False), ("192.168.1.5", False),
        ("127.0.0.1.example.invalid", False), ("::ffff:10.0.0.1", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, mine: bool) -> None:
    assert addresses.is_loopback(host) is mine
