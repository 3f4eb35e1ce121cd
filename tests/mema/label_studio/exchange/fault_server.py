"""A local HTTP server that fails on demand; behind it, as much of Label Studio's task list as a push needs."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of an answer, or after its effect."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"
    cut: bool = False  # close the connection without an answer
    hang_seconds: float = 0.0  # answer later than the client waits
    after_effect: bool = False  # first do what was asked


class FaultServer(ThreadingHTTPServer):
    """`faults` are used up one a request, oldest first; `requests` says what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.tasks: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {"/api/version": {"release": "1.23.2"}}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, bodies: list[dict[str, Any]]) -> None:
        with self.lock:
            first = max((task["id"] for task in self.tasks), default=0) + 1
            self.tasks += [
                {"id": first + i, "data": body["data"], "annotations": [], "drafts": []}
                for i, body in enumerate(bodies)
            ]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.requests.append(f"{self.command} {self.path}")
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault and not fault.after_effect:
            self._fail(fault)
            return
        status, answer = self._effect(body)
        if fault:
            self._fail(fault)
        else:
            self._send(status, json.dumps(answer), {})

    def _fail(self, fault: Fault) -> None:
        if fault.hang_seconds:
            time.sleep(fault.hang_seconds)
        if fault.cut or not fault.status:
            self.close_connection = True
            self.connection.close()
        else:
            self._send(fault.status, fault.body, fault.headers)

    def _send(self, status: int, body: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body.encode())), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def _effect(self, body: Any) -> tuple[int, Any]:
        address = urlparse(self.path)
        if address.path in self.server.answers:
            return 200, self.server.answers[address.path]
        if address.path.endswith("/import"):
            self.server.add(body)
            return 201, {"task_count": len(body)}
        if address.path == "/api/tasks":
            query = parse_qs(address.query)
            page, size = int(query["page"][0]), int(query["page_size"][0])
            with self.server.lock:
                part = self.server.tasks[(page - 1) * size : page * size]
                return (200, {"tasks": part, "total": len(self.server.tasks)}) if part or page == 1 else (404, {})
        if address.path.startswith("/api/tasks/"):
            return self._one_task(int(address.path.split("/")[3]))
        return 404, {"detail": "not found"}

    def _one_task(self, task_id: int) -> tuple[int, Any]:
        with self.server.lock:
            task = next((task for task in self.server.tasks if task["id"] == task_id), None)
            if task is None:
                return 404, {}
            if self.command == "DELETE":
                self.server.tasks.remove(task)
            return 200, task

    do_GET = do_POST = do_PATCH = do_DELETE = _serve


@contextmanager
def fault_server(*faults: Fault) -> Iterator[FaultServer]:
    server = FaultServer()
    server.faults = list(faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
