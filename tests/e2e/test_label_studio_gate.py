"""What the running Label Studio answers to strangers, and whom it calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from mema.label_studio.server.access import SAM_HOST
from mema.label_studio.server.places import Account
from tests.e2e.label_studio_world import LabelStudioWorld
from tests.e2e.processes import free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
READER = "gate_reader"
CONFIG = """<View><Image name="face" value="$image"/>
<Choices name="disease" toName="face"><Choice value="bcc"/></Choices></View>"""
FOREIGN = "https://evil.example"


class Office:
    """A reader, his project, and a browser in which he has logged in."""

    def __init__(self, world: LabelStudioWorld):
        self.world = world
        self.account: Account = world.accounts_for(READER)[READER]
        self.token = {"Authorization": f"Token {self.account.token}"}
        self.project = self.post("/api/projects", {"title": "gate", "label_config": CONFIG}).json()["id"]
        self.browser = self.log_in({"Origin": world.url})

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.world.url}{path}", json=body, headers=self.token, timeout=60)

    def log_in(self, headers: dict[str, str]) -> httpx.Client:
        browser = httpx.Client(base_url=self.world.url, timeout=60)
        browser.get("/user/login/", headers=headers)
        form = {"email": self.account.email, "password": self.account.password}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        assert browser.post("/user/login/", data=form, headers=headers).status_code == 302
        return browser


@pytest.fixture(scope="module")
def office(label_studio: LabelStudioWorld) -> Office:
    return Office(label_studio)


@contextmanager
def listener(host: str, port: int) -> Iterator[list[str]]:
    """Answer as a backend does, and note each request."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            calls.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"status": "UP", "model_version": "1", "image": "http://x/1.png"}')

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield calls
    finally:
        server.shutdown()
        server.server_close()


def call(office: Office, url: str) -> list[int]:
    """Let the server be told of an address in every way a reader has; return its answers."""
    backend = office.post("/api/ml", {"project": office.project, "url": url, "title": url})
    hook = {"project": office.project, "url": f"{url}/hook", "send_for_all_actions": True}
    webhook = office.post("/api/webhooks", hook)
    imported = httpx.post(
        f"{office.world.url}/api/projects/{office.project}/import", data={"url": f"{url}/tasks.json"},
        headers=office.token, timeout=60,
    )  # fmt: skip
    task = office.post("/api/tasks", {"project": office.project, "data": {"image": "x"}}).json()["id"]
    office.post(f"/api/tasks/{task}/annotations/", {"result": [], "lead_time": 1.0})
    return [backend.status_code, webhook.status_code, imported.status_code]


def test_the_server_calls_the_backend_s_address_and_port_alone(office: Office) -> None:
    port = office.world.sam_port
    with listener(SAM_HOST, port) as calls:
        assert call(office, f"http://{SAM_HOST}:{port}") == [201, 201, 403]
        until(lambda: "POST /hook" in calls, "the webhook arrives", 20)
        assert "GET /health" in calls
        assert not [line for line in calls if "tasks.json" in line]


@pytest.mark.parametrize("host", ["127.0.0.1", SAM_HOST, "127.83.65.78"])
def test_the_server_calls_no_other_port_and_no_other_address(office: Office, host: str) -> None:
    port = free_port() if host == SAM_HOST else office.world.sam_port
    with listener(host, port) as calls:
        backend, webhook, imported = call(office, f"http://{host}:{port}")
        assert backend >= 400
        assert imported == 403
        assert webhook == (201 if host == SAM_HOST else 403)  # of the address; its port is asked when it is called
        with listener(SAM_HOST, office.world.sam_port) as ours:  # an event that came after those
            call(office, f"http://{SAM_HOST}:{office.world.sam_port}")
            until(lambda: "POST /hook" in ours, "the other webhook arrives", 20)
        assert calls == []


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure", "redis", "export/s3", "export/localfiles"])
def test_no_storage_leads_elsewhere(office: Office, kind: str) -> None:
    answer = office.post(f"/api/storages/{kind}", {"project": office.project, "path": "x", "bucket": "x"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "no storage but the folder of images"


@pytest.mark.parametrize("path", ["/", "/user/login/", "/api/version", "/api/projects", "/health"])
def test_a_foreign_host_gets_no_answer(office: Office, path: str) -> None:
    for host in ("evil.example", f"127.0.0.1.evil.example:{office.world.port}", ""):
        answer = httpx.get(f"{office.world.url}{path}", headers=office.token | {"Host": host})
        assert answer.status_code == 400, host
    assert httpx.get(f"http://localhost:{office.world.port}{path}", headers=office.token).status_code < 400


def test_a_foreign_page_may_read_nothing(office: Office) -> None:
    preflight = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    for answer in (
        httpx.options(f"{office.world.url}/api/projects", headers=preflight),
        httpx.get(f"{office.world.url}/api/projects", headers=office.token | {"Origin": FOREIGN}),
        office.browser.get("/api/projects", headers={"Origin": FOREIGN}),
        office.browser.get("/api/projects", headers={"Origin": "null"}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-allow")]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": FOREIGN}, {"Origin": "null"}, {"Referer": f"{FOREIGN}/page"},
     {"Origin": "http://127.0.0.1:1"}, {"Origin": "https://127.0.0.1"}],
)  # fmt: skip
def test_a_session_alone_changes_nothing(office: Office, headers: dict[str, str]) -> None:
    before = office.browser.get("/api/projects").json()["count"]
    body = {"title": "forged", "label_config": CONFIG}
    for send in ({"json": body}, {"data": body}):
        assert office.browser.post("/api/projects", headers=headers, **send).status_code == 403
    path = f"/api/projects/{office.project}"
    assert office.browser.patch(path, json={"title": "x"}, headers=headers).status_code == 403
    assert office.browser.delete(path, headers=headers).status_code == 403
    assert office.browser.get("/api/projects").json()["count"] == before


def test_the_server_s_own_page_changes_what_it_is_asked_to(office: Office) -> None:
    path, url = f"/api/projects/{office.project}", office.world.url
    assert office.browser.patch(path, json={"title": "renamed"}, headers={"Origin": url}).status_code == 200
    assert (
        office.browser.patch(path, json={"title": "renamed again"}, headers={"Referer": f"{url}/x"}).status_code == 200
    )


def test_nobody_logs_in_by_a_foreign_page(office: Office) -> None:
    with pytest.raises(AssertionError):
        office.log_in({"Origin": FOREIGN})


def test_behind_tls_cookies_are_secure_and_the_proxy_s_name_is_known(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = office.world
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://annotate.example")
    world.kill()
    try:
        world.start()
        host = {"Host": "annotate.example"}
        shown = httpx.get(f"{world.url}/user/login/", headers=host)
        cookies = shown.headers.get_list("set-cookie")
        assert {cookie.partition("=")[0] for cookie in cookies} >= {"csrftoken", "sessionid"}
        assert all("Secure" in cookie for cookie in cookies)
        browser = {cookie.partition("=")[0]: cookie.partition("=")[2].partition(";")[0] for cookie in cookies}
        form = {"email": office.account.email, "password": office.account.password}
        form["csrfmiddlewaretoken"] = browser["csrftoken"]
        sent = "; ".join(f"{name}={value}" for name, value in browser.items())
        headers = host | {"Cookie": sent, "Origin": "https://annotate.example"}
        assert httpx.post(f"{world.url}/user/login/", data=form, headers=headers).status_code == 302
        headers["Origin"] = FOREIGN
        assert httpx.post(f"{world.url}/user/login/", data=form, headers=headers).status_code == 403
    finally:
        monkeypatch.undo()
        world.kill()
        world.start()
