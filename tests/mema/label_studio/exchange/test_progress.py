import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mema.label_studio.exchange.progress import Progress, complete, progress
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import Account, Accounts, Places, write_accounts
from models.annotation.manifest import Assigned, Manifest, Reader
from tests.mema.label_studio.exchange.fault_server import Fault, FaultServer, fault_server

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def state(round_: str = "reading", done: int = 0, skipped: int = 0, missing: int = 0) -> Progress:
    return Progress("reader_1", round_, done, skipped, missing, 10, 0.0, None)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("states", "through"),
    [
        ([], False),
        ([state(done=9)], False),
        ([state(done=10)], True),
        ([state(done=7, skipped=2, missing=1)], True),
        ([state(done=10), state(done=9)], False),
        ([state(done=10), state("adjudication", done=1)], True),
        ([state("adjudication", done=10)], False),
    ],
)
def test_a_round_is_complete_when_none_of_its_readers_has_an_open_task(states: list[Progress], through: bool) -> None:
    assert complete(states, "reading") is through


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def ask(server: FaultServer, folder: Path, first: datetime | None, done: int, recent: int) -> Progress:
    """Answer as the server does: project, done, skipped, first completion, recently completed."""
    write_accounts(Places(folder), Accounts(server.url, {"reader_1": Account("a", "p", "t", 1, 2)}))
    tasks = tuple(Assigned(key=str(i), image_id=str(i), copy=0) for i in range(100))
    entry = Reader(email="a", user_id=1, project=3, round="reading", tasks=tasks)
    completions = [{"completed_at": first.isoformat()}] if first else []
    answers: list[Any] = [
        {"task_number": 98},
        {"total": done, "tasks": []},
        {"total": 3, "tasks": []},
        {"total": len(completions), "tasks": completions},
        {"total": recent, "tasks": []},
    ]
    server.faults = [Fault(200, body=json.dumps(answer)) for answer in answers]
    manifest = Manifest(source="label_studio", readers={"reader_1": entry})
    (found,) = progress(manifest, Target(Places(folder), server.url), now=NOW)
    return found


def test_the_pace_of_a_long_reading_is_that_of_the_last_week(server: FaultServer, tmp_path: Path) -> None:
    found = ask(server, tmp_path, NOW - timedelta(days=60), done=60, recent=35)
    assert (found.done, found.skipped, found.missing, found.open) == (60, 3, 2, 35)
    assert found.per_day == 5.0
    assert found.expected_finish == NOW + timedelta(days=7)


def test_the_pace_of_the_first_days_is_that_since_the_start(server: FaultServer, tmp_path: Path) -> None:
    found = ask(server, tmp_path, NOW - timedelta(days=2), done=19, recent=19)
    assert found.per_day == 9.5
    assert found.expected_finish == NOW + timedelta(days=76 / 9.5)


def test_the_first_hours_tell_no_pace(server: FaultServer, tmp_path: Path) -> None:
    found = ask(server, tmp_path, NOW - timedelta(hours=1), done=20, recent=20)
    assert (found.per_day, found.expected_finish) == (None, None)


def test_before_the_first_answer_no_finish_is_promised(server: FaultServer, tmp_path: Path) -> None:
    found = ask(server, tmp_path, None, done=0, recent=0)
    assert (found.per_day, found.expected_finish) == (None, None)


def test_a_reader_who_rests_has_no_finish(server: FaultServer, tmp_path: Path) -> None:
    assert ask(server, tmp_path, NOW - timedelta(days=30), done=50, recent=0).expected_finish is None
