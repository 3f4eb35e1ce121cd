from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from mema.label_studio.exchange.client import (
    LabelStudio,
    NotFoundError,
    UnclearError,
    check_version,
    retry_after_seconds,
)
from tests.mema.label_studio.exchange.fault_server import Fault, FaultServer, fault_server

PATH = "/api/projects/7"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        running.answers[PATH] = {"id": 7}
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(server: FaultServer, pauses: list[float]) -> Iterator[LabelStudio]:
    with LabelStudio(
        server.url,
        "token",
        who="reader_1",
        accounts=Path(".label_studio/accounts.json"),
        timeout_seconds=0.3,
        attempts=4,
        sleep=pauses.append,
    ) as talking:
        yield talking


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(502), Fault(503), Fault(429), Fault(cut=True), Fault(hang_seconds=0.6, cut=True)],
    ids=["500", "502", "503", "429", "cut", "timeout"],
)
def test_reading_is_repeated(server: FaultServer, client: LabelStudio, pauses: list[float], fault: Fault) -> None:
    server.faults = [fault, fault]
    assert client.get(PATH) == {"id": 7}
    assert len(server.requests) == 3
    assert len(pauses) == 2


def test_pauses_grow_and_differ(server: FaultServer, client: LabelStudio, pauses: list[float]) -> None:
    for _ in range(6):
        server.faults = [Fault(500)] * 3
        client.get(PATH)
    first, second, third = pauses[0::3], pauses[1::3], pauses[2::3]
    assert max(first) < min(second) <= max(second) < min(third)
    assert len(set(first)) == 6


def test_retry_after_is_obeyed(server: FaultServer, client: LabelStudio, pauses: list[float]) -> None:
    server.faults = [Fault(429, {"Retry-After": "17"}), Fault(503, {"Retry-After": "4000"})]
    client.get(PATH)
    assert pauses == [17.0, 60.0]


def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after_seconds(httpx.Response(429, headers={"Retry-After": soon})) or 0) <= 30
    assert retry_after_seconds(httpx.Response(429, headers={"Retry-After": "soon"})) is None
    assert retry_after_seconds(httpx.Response(429)) is None


def test_it_gives_up_with_the_remedy(server: FaultServer, client: LabelStudio) -> None:
    server.faults = [Fault(502)] * 9
    with pytest.raises(ValueError, match=r"GET /api/projects/7 in 4 attempts \(HTTP 502\).*make label-studio"):
        client.get(PATH)
    assert len(server.requests) == 4


@pytest.mark.parametrize("fault", [Fault(500), Fault(cut=True), Fault(hang_seconds=0.6, cut=True)])
def test_creating_is_never_repeated_blindly(server: FaultServer, client: LabelStudio, fault: Fault) -> None:
    server.faults = [fault]
    with pytest.raises(UnclearError, match="/api/projects/7/import"):
        client.post(f"{PATH}/import", [])
    assert len(server.requests) == 1


def test_creating_is_repeated_where_the_server_says_later(server: FaultServer, client: LabelStudio) -> None:
    server.faults = [Fault(429, {"Retry-After": "1"}), Fault(503)]
    client.post(f"{PATH}/import", [{"data": {}}])
    assert (len(server.requests), len(server.tasks)) == (3, 1)


def test_what_was_created_in_an_unclear_request_is_found_not_made_again(
    server: FaultServer, client: LabelStudio
) -> None:
    def find() -> int | None:
        return len(server.tasks) or None

    server.faults = [Fault(cut=True, after_effect=True)]
    assert client.ensure(find, lambda: client.post(f"{PATH}/import", [{"data": {}}])) == 1
    assert client.ensure(find, lambda: client.post(f"{PATH}/import", [{"data": {}}])) == 1
    assert len(server.requests) == 1


def test_what_was_lost_in_an_unclear_request_is_made_again(server: FaultServer, client: LabelStudio) -> None:
    server.faults = [Fault(cut=True), Fault(500)]
    assert client.ensure(lambda: len(server.tasks) or None, lambda: client.post("/import", [{"data": {}}])) == 1
    assert len(server.requests) == 3


def test_a_server_that_keeps_nothing_is_asked_once(server: FaultServer, client: LabelStudio) -> None:
    server.answers["/void"] = {}
    with pytest.raises(ValueError, match="does not keep what reader_1 creates"):
        client.ensure(lambda: None, lambda: client.post("/void", {}))
    assert server.requests == ["POST /void"]


def test_a_wrong_token_names_the_reader_and_the_file(server: FaultServer, client: LabelStudio) -> None:
    server.faults = [Fault(401)]
    with pytest.raises(ValueError, match=r"^reader_1: .*the token in \.label_studio/accounts\.json \(401\)"):
        client.get(PATH)
    assert len(server.requests) == 1


def test_what_is_not_there_has_its_own_error(client: LabelStudio) -> None:
    with pytest.raises(NotFoundError, match=r"^reader_1: .*/api/projects/8: not found \(404\)"):
        client.get("/api/projects/8")


def test_deleting_what_is_gone_is_no_error(server: FaultServer, client: LabelStudio) -> None:
    client.delete("/api/tasks/3")
    assert len(server.requests) == 1
    with pytest.raises(NotFoundError):
        client.get("/api/tasks/3")


def test_a_refusal_carries_the_server_s_reason(server: FaultServer, client: LabelStudio) -> None:
    server.faults = [Fault(400, body='{"validation_errors": {"label_config": ["no such tag"]}}')]
    with pytest.raises(ValueError, match=r"refuses PATCH .*\(400\): .*no such tag"):
        client.patch(PATH, {})


def test_pages_end_with_the_last_task(
    server: FaultServer, client: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mema.label_studio.exchange.client.PAGE_ROWS", 3)
    for total in (0, 1, 3, 7):
        server.tasks = []
        server.add([{"data": {"key": str(i)}} for i in range(total)])
        tasks = list(client.pages("/api/tasks", "tasks", project=7))
        assert [task["data"]["key"] for task in tasks] == [str(i) for i in range(total)]


def test_an_unknown_version_is_refused_with_the_known_ones(server: FaultServer) -> None:
    assert check_version(server.url) == "1.23.2"
    server.answers["/api/version"] = {"release": "2.0.1"}
    with pytest.raises(ValueError, match=r"Label Studio 2\.0\.1; supported: 1\.23\.2\. make label-studio"):
        check_version(server.url)


@pytest.mark.parametrize("answer", [{}, [], "hello"])
def test_another_program_is_no_label_studio(server: FaultServer, answer: object) -> None:
    server.answers["/api/version"] = answer
    with pytest.raises(ValueError, match="no Label Studio; supported"):
        check_version(server.url)


def test_a_page_of_html_is_no_answer(server: FaultServer, client: LabelStudio) -> None:
    server.faults = [Fault(200, body="<html>Sign in</html>")]
    with pytest.raises(ValueError, match="something else than JSON; is LABEL_STUDIO_URL"):
        client.get(PATH)


def test_no_server_at_all() -> None:
    with fault_server() as server:
        url = server.url
    with pytest.raises(ValueError, match=r"ConnectError.*make label-studio starts it"):
        check_version(url, attempts=1)
