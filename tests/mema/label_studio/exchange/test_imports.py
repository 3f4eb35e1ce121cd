from collections.abc import Iterator
from pathlib import Path

import pytest

from mema.label_studio.exchange import imports
from mema.label_studio.exchange.client import LabelStudio
from mema.label_studio.exchange.imports import existing_tasks, import_missing
from mema.label_studio.exchange.reading import PlannedTask
from mema.label_studio.exchange.task_data import Notes
from tests.mema.label_studio.exchange.fault_server import Fault, FaultServer, fault_server

PLAN = [PlannedTask(f"{i:016x}", f"{i:064x}", 0) for i in range(10)]
NOTES = {task.image_id: Notes() for task in PLAN}
FINE = Fault(cut=False, status=201, after_effect=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(imports, "BATCH_TASKS", 4)
    monkeypatch.setattr(imports, "IMPORT_SECONDS", 0.3)
    with fault_server() as running:
        yield running


@pytest.fixture
def client(server: FaultServer) -> Iterator[LabelStudio]:
    with LabelStudio(
        server.url, "t", who="reader_1", accounts=Path("a"), timeout_seconds=5, sleep=lambda seconds: None
    ) as talking:
        yield talking


def bring(client: LabelStudio) -> None:
    import_missing(client, 1, PLAN, NOTES, existing_tasks(client, 1))


def keys(server: FaultServer) -> list[str]:
    return [task["data"]["key"] for task in server.tasks]


def test_tasks_come_in_the_order_of_the_plan_and_once(server: FaultServer, client: LabelStudio) -> None:
    bring(client)
    assert keys(server) == [task.key for task in PLAN]
    server.requests.clear()
    bring(client)
    assert [request.split()[0] for request in server.requests] == ["GET"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(500, after_effect=True),
        Fault(cut=True),
        Fault(cut=True, after_effect=True),
        Fault(hang_seconds=0.6, cut=True, after_effect=True),
        Fault(429, {"Retry-After": "1"}),
    ],
    ids=["500", "500 after", "cut", "cut after", "timeout after", "429"],
)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_each_task_is_there_once_whatever_breaks(
    server: FaultServer, client: LabelStudio, fault: Fault, batch: int
) -> None:
    list_first = Fault(200, body='{"tasks": [], "total": 0}')
    server.faults = [list_first, *[FINE] * (batch - 1), fault]
    bring(client)
    assert sorted(keys(server)) == [task.key for task in PLAN]


def test_tasks_that_arrive_late_are_deleted_as_surplus(server: FaultServer, client: LabelStudio) -> None:
    """The first request went on at the server after the client had given it up and sent the tasks again."""
    bring(client)
    server.add([{"data": task["data"]} for task in server.tasks[:3]])
    assert set(existing_tasks(client, 1)) == {task.key for task in PLAN}
    assert keys(server) == [task.key for task in PLAN]


def test_a_surplus_task_with_an_answer_stays(server: FaultServer, client: LabelStudio) -> None:
    bring(client)
    server.add([{"data": task["data"]} for task in server.tasks[:2]])
    server.tasks[10]["annotations"] = [{"id": 1}]
    server.tasks[1]["drafts"] = [{"id": 1}]
    existing_tasks(client, 1)
    assert [task["id"] for task in server.tasks] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]


def test_a_server_that_loses_every_task_is_given_up(server: FaultServer, client: LabelStudio) -> None:
    server.answers["/api/projects/1/import"] = {"task_count": 4}
    with pytest.raises(ValueError, match="keeps losing tasks"):
        bring(client)
