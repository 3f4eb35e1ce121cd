import fcntl
import logging
from pathlib import Path

import pytest

from mema.label_studio.exchange.push import _check_known, push, push_adjudication, read_examples
from mema.label_studio.exchange.reading import Lots, PlannedTask, reading_order
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import Account, Accounts, Places, read_secret, write_accounts
from mema.params.annotate import Annotate
from tests.mema.label_studio.exchange.fault_server import Fault, fault_server
from tests.mema.label_studio.exchange.test_task_data import IDS, images

ANNOTATE = Annotate(readers=("reader_1",), senior="senior", show_intended_label=False, repeat_share=0.05, seed=7)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    root = Places(tmp_path / "root")
    write_accounts(root, Accounts("http://127.0.0.1:1", {"reader_1": Account("a", "p", "t", 1, 2)}))
    return root


def test_two_pushes_at_once_are_refused(places: Places, tmp_path: Path) -> None:
    target = Target(places, "http://127.0.0.1:1", attempts=1)
    with (places.root / "push.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"push\.lock: another push runs"):
            push(tmp_path, None, tmp_path / "out", ANNOTATE, target)


def test_a_reader_without_an_account_is_named_before_anything_is_sent(places: Places, tmp_path: Path) -> None:
    table = images(tmp_path / "selected", ["bcc"])
    stranger = ANNOTATE.model_copy(update={"readers": ("reader_9",)})
    with fault_server() as server, pytest.raises(ValueError, match="'reader_9' has no account"):
        push(table, None, tmp_path / "out", stranger, Target(places, server.url))
    assert server.requests == ["GET /api/version"]


def test_a_wrong_token_names_the_reader(places: Places, tmp_path: Path) -> None:
    table = images(tmp_path / "selected", ["bcc"])
    with fault_server() as server:
        server.faults = [Fault(200, body='{"release": "1.23.2"}'), Fault(401)]
        with pytest.raises(ValueError, match=r"^reader_1: .* refuses the token in .*accounts\.json \(401\)"):
            push(table, None, tmp_path / "out", ANNOTATE, Target(places, server.url))


def test_an_image_to_adjudicate_must_be_selected(places: Places, tmp_path: Path) -> None:
    table = images(tmp_path / "selected", ["bcc"])
    with fault_server() as server, pytest.raises(ValueError, match=r"image_ids: 1 are not in .* such as ffff"):
        push_adjudication(["f" * 64], table, None, tmp_path, ANNOTATE, Target(places, server.url))


def present(tasks: list[PlannedTask]) -> dict[str, dict]:
    return {task.key: {"id": number, "data": {"key": task.key}} for number, task in enumerate(tasks)}


def test_tasks_that_nobody_can_name_are_refused() -> None:
    """With the manifest and the secret lost, a push would give every image a second time."""
    here = present(reading_order(IDS, Lots(b"lost", 7, "reader_1"), repeat_share=0))
    plan = reading_order(IDS, Lots(b"new", 7, "reader_1"), repeat_share=0)
    with pytest.raises(ValueError, match=r"reader_1: 4 of his tasks stand in no manifest.*Put back manifest\.json"):
        _check_known("reader_1", here, plan, ())


def test_tasks_of_images_no_longer_selected_stay_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    plan = reading_order(IDS[:1], Lots(b"", 7, "reader_1"), repeat_share=0)
    gone = reading_order(IDS[1:2], Lots(b"", 7, "reader_1"), repeat_share=0)
    with caplog.at_level(logging.WARNING):
        _check_known("reader_1", present([*plan, *gone]), plan, {gone[0].key})
    assert "1 tasks are of images no longer selected" in caplog.text


def test_the_secret_is_made_once_and_for_its_owner_alone(places: Places) -> None:
    secret = read_secret(places)
    assert len(secret) == 32
    assert read_secret(places) == secret
    assert places.secret.stat().st_mode & 0o777 == 0o600
    places.secret.write_text(secret.hex()[:-1])
    with pytest.raises(ValueError, match=r"secret: not 64 hex digits; put your backup back"):
        read_secret(places)


def test_examples_come_from_a_folder_or_from_spare_images(tmp_path: Path) -> None:
    kept, selected = images(tmp_path / "kept", ["bcc", "tao"]), images(tmp_path / "selected", ["bcc"])
    assert read_examples(tmp_path / "none", kept, selected) == {"tao": b"png 1"}
    assert read_examples(tmp_path / "none", tmp_path / "neither", selected) == {}
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/bcc.png").write_bytes(b"a photograph")
    assert read_examples(tmp_path / "examples", kept, selected) == {"bcc": b"a photograph"}
