"""One way to talk to Label Studio: timeouts, repeats with back-off, and errors that say what to do."""

import random
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

SUPPORTED = ("1.23.2",)
ATTEMPTS = 7
TIMEOUT_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 60.0
PAGE_ROWS = 1000
REPEATED = (429, 500, 502, 503, 504)
# Raised before a byte of the request was sent, so that the server cannot have acted on it.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
PASSING = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
T = TypeVar("T")


class UnclearError(ConnectionError):
    """A request that changes something failed after it was sent: it may have had its effect, or may yet."""


class NotFoundError(ValueError):
    """What the address names does not exist, or belongs to another reader: the server tells them not apart."""


class ForbiddenError(ValueError):
    """What the address names belongs to another reader."""


class LabelStudio:
    """Label Studio's API as one reader; every request ends, with an answer or with an error of one line.

    Reading and deleting are repeated on 5xx, 429, cut connections and timeouts. Creating is repeated only
    where the server cannot have acted, otherwise UnclearError: `ensure` looks before it creates again.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        who: str,
        accounts: Path,
        timeout_seconds: float = TIMEOUT_SECONDS,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.url, self.who = url, who
        self._accounts, self._attempts, self._sleep = accounts, attempts, sleep
        timeout = httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds))
        headers = {"Authorization": f"Token {token}"} if token else {}
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON at an address."""
        return self._json(self._request("GET", path, params=params or None))

    def delete(self, path: str) -> None:
        """Delete; what is gone already counts as deleted."""
        try:
            self._request("DELETE", path)
        except NotFoundError:
            return

    def patch(self, path: str, body: Any) -> Any:
        """Set fields; setting them twice is the same as once, so it is repeated."""
        return self._json(self._request("PATCH", path, json=body))

    def post(self, path: str, body: Any, timeout_seconds: float | None = None) -> Any:
        """Create something; raises UnclearError where it may have been created all the same."""
        return self._json(self._request("POST", path, json=body, once=True, timeout_seconds=timeout_seconds))

    def ensure(self, find: Callable[[], T | None], create: Callable[[], object]) -> T:
        """Return what `find` finds, after `create` where it finds nothing; never creates blindly twice."""
        for attempt in range(self._attempts):
            found = find()
            if found is not None:
                return found
            try:
                create()
            except UnclearError:
                self._pause(attempt, None)
            else:
                break
        found = find()
        if found is None:
            raise ValueError(f"{self.url}: does not keep what {self.who} creates; look at the server's log")
        return found

    def pages(self, path: str, key: str, **params: Any) -> Iterator[Any]:
        """Yield the entries of a paged list; a page beyond the last one ends it."""
        page, total = 1, 1
        seen = 0
        while seen < total:
            try:
                answer = self.get(path, page=page, page_size=PAGE_ROWS, **params)
            except NotFoundError:
                if page == 1:
                    raise
                return
            total = answer.get("total", answer.get("count", 0))
            if not answer[key]:
                return
            seen += len(answer[key])
            page += 1
            yield from answer[key]

    def download(self, path: str, sink: Callable[[bytes], object], restart: Callable[[], object]) -> None:
        """Stream a file into `sink`; `restart` is called before each attempt."""

        def fetch() -> httpx.Response:
            restart()
            with self._http.stream("GET", path) as answer:
                if answer.is_success:
                    for chunk in answer.iter_bytes():
                        sink(chunk)
                else:
                    answer.read()
                return answer

        self._repeat("GET", path, fetch, once=False)

    def _request(
        self, method: str, path: str, *, once: bool = False, timeout_seconds: float | None = None, **options: Any
    ) -> httpx.Response:
        if timeout_seconds is not None:
            options["timeout"] = timeout_seconds
        return self._repeat(method, path, lambda: self._http.request(method, path, **options), once=once)

    def _repeat(self, method: str, path: str, send: Callable[[], httpx.Response], *, once: bool) -> httpx.Response:
        """Send until there is an answer that repeating cannot change."""
        problem = ""
        for attempt in range(self._attempts):
            try:
                answer = send()
            except PASSING as error:
                problem, pause = f"{type(error).__name__}: {error}".rstrip(": "), None
                if once and not isinstance(error, NOT_SENT):
                    raise UnclearError(f"{self.url}{path}: {problem}") from None
            else:
                if answer.status_code not in REPEATED:
                    return self._accepted(method, path, answer)
                problem, pause = f"HTTP {answer.status_code}", retry_after_seconds(answer)
                if once and answer.status_code not in (429, 503):
                    raise UnclearError(f"{self.url}{path}: {problem}")
            if attempt + 1 < self._attempts:
                self._pause(attempt, pause)
        raise ValueError(
            f"{self.url}: no good answer to {method} {path} in {self._attempts} attempts ({problem}); "
            f"is the server running? make label-studio starts it, its log is {self._accounts.parent}/server.log"
        )

    def _pause(self, attempt: int, seconds: float | None) -> None:
        """Wait as long as the server says, else twice as long each time, never in step with others."""
        backoff = 0.5 * 2**attempt * random.uniform(0.75, 1.25)
        self._sleep(min(seconds if seconds is not None else backoff, LONGEST_PAUSE_SECONDS))

    def _accepted(self, method: str, path: str, answer: httpx.Response) -> httpx.Response:
        """Return a good answer; raise ValueError with the server's reason and the remedy."""
        if answer.is_success:
            return answer
        if answer.status_code == 401:
            raise ValueError(
                f"{self.who}: {self.url} refuses the token in {self._accounts} (401); "
                f"make label-studio writes the valid one there"
            )
        if answer.status_code == 404:
            raise NotFoundError(f"{self.who}: {self.url}{path}: not found (404)")
        kind = ForbiddenError if answer.status_code == 403 else ValueError
        raise kind(f"{self.who}: {self.url} refuses {method} {path} ({answer.status_code}): {_reason(answer)}")

    def _json(self, answer: httpx.Response) -> Any:
        if answer.status_code == 204 or not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise ValueError(
                f"{self.url}: answers with something else than JSON; is LABEL_STUDIO_URL that of Label Studio?"
            ) from None


def check_version(url: str, timeout_seconds: float = TIMEOUT_SECONDS, attempts: int = ATTEMPTS) -> str:
    """Return the server's version; raises ValueError where the projects were never tried with it."""
    with LabelStudio(
        url, "", who="anyone", accounts=Path("accounts.json"), timeout_seconds=timeout_seconds, attempts=attempts
    ) as client:
        try:
            answer = client.get("/api/version")
        except NotFoundError:
            answer = {}
    version = str(answer.get("release", "")) if isinstance(answer, dict) else ""
    if version not in SUPPORTED:
        raise ValueError(
            f"{url}: {'Label Studio ' + version if version else 'no Label Studio'}; "
            f"supported: {', '.join(SUPPORTED)}. make label-studio installs it"
        )
    return version


def retry_after_seconds(answer: httpx.Response) -> float | None:
    """Return what Retry-After asks for, in seconds or as a date; None where it is absent or unreadable."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _reason(answer: httpx.Response) -> str:
    """Return the server's own words in one line, cut to a readable length."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:200].replace("\n", " ")
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    return str(body)[:400]
