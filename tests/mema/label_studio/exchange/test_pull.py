import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mema.label_studio.exchange import pull as module
from mema.label_studio.exchange.client import LabelStudio
from mema.label_studio.exchange.manifest import Shown, known_tasks, read_manifest, remember
from mema.label_studio.exchange.pull import Counts, account_for, copy_proposals, pull, snapshot, state_of
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import Account, Accounts, Places, write_accounts
from models.annotation.manifest import Assigned, Reader
from tests.mema.label_studio.exchange.fault_server import Fault, FaultServer, fault_server

EXPORTS = "/api/projects/3/exports/"
ANSWER = {"was_cancelled": False, "result": []}
SKIP = {"was_cancelled": True, "result": []}


def task(key: str, *annotations: dict[str, Any], drafts: int = 0) -> dict[str, Any]:
    return {"data": {"key": key}, "annotations": list(annotations), "drafts": [{}] * drafts}


def reader(*keys: str) -> Reader:
    tasks = tuple(Assigned(key=key, image_id=f"image {key}", copy=0) for key in keys)
    return Reader(email="a@mema.local", user_id=1, project=3, round="reading", tasks=tasks)


def test_each_planned_task_is_accounted_for() -> None:
    export = [
        task("a", ANSWER),
        task("b", SKIP),
        task("c", SKIP, ANSWER),
        task("d"),
        task("e", drafts=2),
        task("stranger", ANSWER),
    ]
    counts = account_for(reader(*"abcdefg"), export)
    assert counts == Counts(annotated=2, skipped=1, open=2, missing=2, foreign=1)
    assert counts.annotated + counts.skipped + counts.open + counts.missing == 7


def test_a_draft_is_no_annotation() -> None:
    assert state_of(task("a", drafts=1)) == "open"


@pytest.mark.parametrize(
    ("log", "kept"),
    [
        (b'{"a": 1}\n{"b": 2}\n', b'{"a": 1}\n{"b": 2}\n'),
        (b'{"a": 1}\n{"b"', b'{"a": 1}\n'),
        (b'{"a"', b""),
        (b"", b""),
        (None, b""),
    ],
)
def test_a_line_that_is_being_written_is_left_for_the_next_pull(tmp_path: Path, log: bytes | None, kept: bytes) -> None:
    if log is not None:
        (tmp_path / "proposals.jsonl").write_bytes(log)
    copy_proposals(Places(tmp_path), tmp_path / "out")
    assert (tmp_path / "out/proposals.jsonl").read_bytes() == kept


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def client(server: FaultServer) -> Iterator[LabelStudio]:
    with LabelStudio(
        server.url, "t", who="reader_1", accounts=Path("a"), timeout_seconds=5, sleep=lambda seconds: None
    ) as talking:
        yield talking


def offer(server: FaultServer, monkeypatch: pytest.MonkeyPatch, states: list[str], md5: str = "") -> list[Any]:
    """Let the server hold one snapshot that goes through `states`, one each time it is asked."""
    monkeypatch.setattr(module, "uuid4", lambda: type("Fixed", (), {"hex": "0123456789"})())
    content = [task("a", ANSWER)]
    digest = md5 or hashlib.md5(json.dumps(content).encode()).hexdigest()
    title = "pull 01234567"
    lists = [[{"id": 5, "title": title, "status": state, "md5": digest}] if state else [] for state in states]
    server.answers |= {f"{EXPORTS}5/download": content, f"{EXPORTS}5": {}}
    return lists


def queue(server: FaultServer, *answers: Any) -> None:
    server.faults = [answer if isinstance(answer, Fault) else Fault(200, body=json.dumps(answer)) for answer in answers]


def test_a_snapshot_is_made_awaited_downloaded_and_deleted(
    server: FaultServer, client: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, done = offer(server, monkeypatch, ["in_progress", "completed"])
    queue(server, {}, waiting, done)
    assert snapshot(client, 3, sleep=lambda seconds: None) == [task("a", ANSWER)]
    assert server.requests == [
        f"POST {EXPORTS}",
        f"GET {EXPORTS}",
        f"GET {EXPORTS}",
        f"GET {EXPORTS}5/download?exportType=JSON",
        f"DELETE {EXPORTS}5",
    ]


@pytest.mark.parametrize("states", [["", "completed"], ["failed", "completed"]], ids=["lost", "failed"])
def test_a_snapshot_that_was_not_made_is_asked_for_again(
    server: FaultServer, client: LabelStudio, monkeypatch: pytest.MonkeyPatch, states: list[str]
) -> None:
    first, second = offer(server, monkeypatch, states)
    queue(server, Fault(cut=True), first, {}, second)
    assert snapshot(client, 3, sleep=lambda seconds: None) == [task("a", ANSWER)]


def test_a_snapshot_of_an_unclear_request_is_taken(
    server: FaultServer, client: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (done,) = offer(server, monkeypatch, ["completed"])
    queue(server, Fault(cut=True), done)
    assert snapshot(client, 3, sleep=lambda seconds: None) == [task("a", ANSWER)]
    assert sum(request.startswith("POST") for request in server.requests) == 1


def test_a_download_that_differs_from_the_server_s_file_is_refused(
    server: FaultServer, client: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (done,) = offer(server, monkeypatch, ["completed"], md5="f" * 32)
    queue(server, {}, done)
    with pytest.raises(ValueError, match="arrives damaged three times"):
        snapshot(client, 3, sleep=lambda seconds: None)
    assert server.requests[-1] == f"DELETE {EXPORTS}5"


def test_a_cut_download_starts_again(server: FaultServer, client: LabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    (done,) = offer(server, monkeypatch, ["completed"])
    part = Fault(200, {"Content-Length": "5000"}, body="[{", cut=False)
    queue(server, {}, done, part, Fault(502))
    with LabelStudio(
        server.url, "t", who="r", accounts=Path("a"), timeout_seconds=0.5, sleep=lambda seconds: None
    ) as hasty:
        assert snapshot(hasty, 3, sleep=lambda seconds: None) == [task("a", ANSWER)]


def target(server: FaultServer, folder: Path) -> Target:
    places = Places(folder / "root")
    write_accounts(places, Accounts(server.url, {"reader_1": Account("a", "p", "t", 1, 2)}))
    return Target(places, server.url, attempts=2)


def test_a_pull_before_the_first_push_says_so(server: FaultServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json: not found; push first"):
        pull(tmp_path / "out", target(server, tmp_path))


def test_a_pull_over_a_deleted_project_says_so(server: FaultServer, tmp_path: Path) -> None:
    remember(tmp_path / "out", "1.23.2", "reader_1", reader("a"))
    with pytest.raises(ValueError, match=r"reader_1: project 3 of .* restore the server's database"):
        pull(tmp_path / "out", target(server, tmp_path))


def test_simulated_readers_are_not_mixed_with_real_ones(tmp_path: Path) -> None:
    entry = reader("a").model_dump(mode="json", by_alias=True, exclude_none=True)
    document = {"source": "simulated", "label_studio_version": "", "readers": {"reader_1": entry}}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="holds simulated readers"):
        remember(tmp_path, "1.23.2", "reader_1", reader("a"))
    with pytest.raises(ValueError, match="holds simulated readers"):
        read_manifest(tmp_path)


def test_the_manifest_keeps_all_readers_and_no_disease(tmp_path: Path) -> None:
    remember(tmp_path, "1.23.2", "reader_1", reader("a", "b"))
    remember(tmp_path, "1.23.2", "reader_2", reader("c"))
    remember(tmp_path, "1.23.2", "reader_1", reader("a", "b", "d"))
    manifest = read_manifest(tmp_path)
    assert [len(entry.tasks) for entry in manifest.readers.values()] == [3, 1]
    assert json.loads((tmp_path / "manifest.json").read_text())["label_studio_version"] == "1.23.2"


def answered_server(server: FaultServer, monkeypatch: pytest.MonkeyPatch, export: list[dict]) -> None:
    """Let the server hold project 3 with this content."""
    ((entry,),) = offer(server, monkeypatch, ["completed"])
    entry["md5"] = hashlib.md5(json.dumps(export).encode()).hexdigest()
    server.answers |= {EXPORTS: [entry], f"{EXPORTS}5/download": export, "/api/projects/3": {"id": 3}}


def test_a_server_that_lost_answers_does_not_overwrite_those_that_were_pulled(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, here = tmp_path / "out", target(server, tmp_path)
    remember(out, "1.23.2", "reader_1", reader("a", "b", "c"))
    answered_server(server, monkeypatch, [task("a", ANSWER), task("b", SKIP), task("c")])
    assert pull(out, here)["reader_1"] == Counts(annotated=1, skipped=1, open=1, missing=0, foreign=0)
    whole = (out / "export-reader_1.json").read_bytes()
    answered_server(server, monkeypatch, [task("a"), task("b", SKIP), task("c", ANSWER)])
    with pytest.raises(ValueError, match=r"reader_1: 1 tasks that were answered .* a first; nothing was overwritten"):
        pull(out, here)
    assert (out / "export-reader_1.json").read_bytes() == whole
    assert pull(out, here, fewer=True)["reader_1"].open == 1
    assert (out / "export-reader_1.json").read_bytes() != whole


def test_one_reader_s_loss_leaves_every_export_as_it_was(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, here = tmp_path / "out", target(server, tmp_path)
    write_accounts(here.places, Accounts(server.url, dict.fromkeys(("one", "two"), Account("a", "p", "t", 1, 2))))
    for name in ("one", "two"):
        remember(out, "1.23.2", name, reader("a"))
    (out / "export-two.json").write_text(json.dumps([task("a", ANSWER)]))
    answered_server(server, monkeypatch, [task("a")])
    with pytest.raises(ValueError, match=r"^two: 1 tasks"):
        pull(out, here)
    assert not (out / "export-one.json").exists()


def test_the_manifest_is_its_owner_s_alone(tmp_path: Path) -> None:
    """It is the key to the hidden repeats."""
    remember(tmp_path, "1.23.2", "reader_1", reader("a"))
    assert (tmp_path / "manifest.json").stat().st_mode & 0o777 == 0o600


def test_a_backend_learns_of_a_push_that_came_after_it_started(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "manifest.json")
    with pytest.raises(LookupError, match=r"key: stands in no task of .*push the tasks again"):
        shown.image_of("a")
    remember(tmp_path, "1.23.2", "reader_1", reader("a"))
    assert shown.image_of("a") == "image a"
    remember(tmp_path, "1.23.2", "reader_2", reader("b"))
    assert (shown.image_of("b"), shown.image_of("a")) == ("image b", "image a")
    assert known_tasks(tmp_path) == {"reader_1": {("image a", 0): "a"}, "reader_2": {("image b", 0): "b"}}
