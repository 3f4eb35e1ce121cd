"""A proxy on loopback that hands requests on and fails some of them, by a seed."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SLOW_SECONDS = 0.3
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "expect"}
KINDS = ("500", "500 after its effect", "429", "cut", "cut after its effect", "slow")


class FaultProxy(ThreadingHTTPServer):
    """Every request meets a fault with probability `share`; `faults` counts them by kind."""

    daemon_threads = True

    def __init__(self, port: int, kinds: Sequence[str], share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.kinds, self.share = port, kinds, share
        self.draw, self.lock = random.Random(seed), threading.Lock()
        self.deck: list[str] = []  # every kind once before any comes again
        self.faults: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The address that a client is given."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self) -> str:
        """Return the fault of this request, or nothing."""
        with self.lock:
            if self.draw.random() >= self.share:
                return ""
            if not self.deck:
                self.deck = self.draw.sample(list(self.kinds), len(self.kinds))
            kind = self.deck.pop()
            self.faults[kind] += 1
            return kind

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.next_fault()
        if fault in ("500", "429", "cut"):
            self._fail(fault)
            return
        status, headers, answer = self._upstream(body)
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        elif fault:
            self._fail(fault.split()[0])
            return
        self._send(status, headers, answer)

    def _upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        found = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
        if self.command == "HEAD":
            found["Content-Length"] = answer.getheader("Content-Length") or "0"
        return answer.status, found, data

    def _fail(self, kind: str) -> None:
        if kind == "cut":
            self.close_connection = True
            self.connection.close()
        else:
            self._send(int(kind), {"Retry-After": "1"} if kind == "429" else {}, b"{}")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:  # that of a HEAD is the length of what it leaves out
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve


@contextmanager
def fault_proxy(port: int, kinds: Sequence[str] = KINDS, share: float = 0.25, seed: int = 7) -> Iterator[FaultProxy]:
    """Serve beside the test, in front of what listens at `port`."""
    proxy = FaultProxy(port, kinds, share, seed)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
