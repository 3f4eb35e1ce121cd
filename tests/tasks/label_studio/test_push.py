import fcntl
import logging
from pathlib import Path

import pytest

from tasks.label_studio.access import Target
from tasks.label_studio.places import Account, Accounts, Places, write_accounts
from tasks.label_studio.push import _check_known, push, push_adjudication, read_examples
from tasks.label_studio.reading import PlannedTask, reading_order
from tasks.params import Annotate
from tests.tasks.label_studio.fault_server import Fault, fault_server
from tests.tasks.label_studio.test_task_data import IDS, images

ANNOTATE = Annotate(
    readers=("reader_1",), senior="senior", show_intended_label=False, repeat_share=0.05, seed=7
)


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
    with (
        fault_server() as server,
        pytest.raises(ValueError, match=r"image_ids: 1 are not in .* such as ffff"),
    ):
        push_adjudication(["f" * 64], table, None, tmp_path, ANNOTATE, Target(places, server.url))


def test_tasks_of_another_seed_are_refused() -> None:
    here = {task.key: task.image_id for task in reading_order(IDS, "reader_1", seed=8, repeat_share=0)}
    plan = reading_order(IDS, "reader_1", seed=7, repeat_share=0)
    with pytest.raises(ValueError, match=r"annotate\.seed: the tasks of reader_1 .* put the old seed back"):
        _check_known("reader_1", here, plan)


def test_tasks_of_images_no_longer_selected_stay_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    plan = [PlannedTask("a", IDS[0], 0)]
    with caplog.at_level(logging.WARNING):
        _check_known("reader_1", {"a": IDS[0], "b": IDS[1]}, plan)
    assert "1 tasks are of images no longer selected" in caplog.text


def test_examples_come_from_a_folder_or_from_spare_images(tmp_path: Path) -> None:
    kept, selected = images(tmp_path / "kept", ["bcc", "tao"]), images(tmp_path / "selected", ["bcc"])
    assert read_examples(tmp_path / "none", kept, selected) == {"tao": b"png 1"}
    assert read_examples(tmp_path / "none", tmp_path / "neither", selected) == {}
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/bcc.png").write_bytes(b"a photograph")
    assert read_examples(tmp_path / "examples", kept, selected) == {"bcc": b"a photograph"}
