"""Submits wake the flow that pulls, at most once an interval, and a Prefect that is away breaks nothing."""

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mema.label_studio.sam.backend import create_app, open_clicks
from mema.label_studio.server.wake import Waker
from tests.toys.sam import save_sam
from tests.worlds.click import build_site

LOGIN = "mema:a login of this test"


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)


@contextmanager
def prefect(status: int = 201) -> Iterator[tuple[str, list[tuple[float, str]]]]:
    """Serve the two routes of Prefect's API that the waker asks, to who has the login, and note when it did."""
    calls: list[tuple[float, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            calls.append((time.monotonic(), f"{self.command} {self.path}"))
            self.rfile.read(int(self.headers.get("content-length") or 0))
            known = self.headers.get("authorization") == f"Basic {base64.b64encode(LOGIN.encode()).decode()}"
            self.send_response(401 if not known else 200 if self.command == "GET" else status)
            self.end_headers()
            self.wfile.write(b'{"id": "d1"}')

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api", calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


WAKE = ["GET /api/deployments/name/annotate-poll/annotate-poll", "POST /api/deployments/d1/create_flow_run"]


def test_submits_wake_the_poll_at_once_and_once_more_at_the_end_of_the_interval() -> None:
    async def submit(url: str) -> None:
        waker = Waker(url, interval_seconds=0.5)
        for _ in range(10):
            waker.ask()
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.6)
        waker.ask()
        await asyncio.sleep(0.3)

    with prefect() as (url, calls):
        asyncio.run(submit(url + "/"))
    assert [call for _, call in calls] == WAKE * 3
    assert calls[2][0] - calls[0][0] >= 0.5


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/api", "no address"])
def test_a_prefect_that_is_away_breaks_nothing(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def submit() -> None:
        waker = Waker(url, interval_seconds=0.01)
        waker.ask()
        await asyncio.sleep(0.5)

    asyncio.run(submit())
    lines = [item.getMessage() for item in caplog.records if item.name == "mema.label_studio.server.wake"]
    assert len(lines) == bool(url)
    assert all("could not wake annotate-poll/annotate-poll, the poll will" in line for line in lines)


def test_webhook_answers_at_once_and_wakes_for_submits_only(tmp_path: Path) -> None:
    site = build_site(tmp_path, save_sam(tmp_path / "sam"))
    clicks, _ = open_clicks(site.sam, site.root, site.embeddings, site.subset, site.manifest)
    with prefect(status=500) as (url, calls), TestClient(create_app(clicks, Waker(url))) as client:
        for action in ("TASKS_CREATED", "ANNOTATIONS_DELETED"):
            assert client.post("/webhook", json={"action": action}).json() == {"status": "ok"}
        assert client.post("/webhook", json=["no object"]).status_code == 200
        time.sleep(0.3)
        assert calls == []
        assert client.post("/webhook", json={"action": "ANNOTATION_CREATED", "task": {}}).status_code == 200
        deadline = time.monotonic() + 5
        while len(calls) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [call for _, call in calls] == WAKE
