"""What becomes of a proposed outline in a real browser: taken by key, dropped by key, never lost by a submit."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mema.label_studio.exchange.project import TITLES
from tests.e2e.browser import Reader, chromium, pixels
from tests.e2e.clinic import Backend, Clinic
from tests.e2e.label_studio_world import ROOT, LabelStudioWorld

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
READERS = ("lid_1", "lid_2")


@pytest.fixture(scope="module")
def clinic(label_studio: LabelStudioWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("lids")
    backend = Backend(label_studio.root, ROOT / "data/phantom/twins/sam", folder / "backend.log", label_studio.sam_port)
    try:
        yield Clinic(label_studio, backend, folder, READERS)
    finally:
        backend.kill()


@pytest.fixture
def reader(clinic: Clinic) -> Iterator[Reader]:
    artefacts = Path(os.environ.get("MEMA_ARTEFACTS", ROOT / ".scratch/artefacts"))
    with chromium() as page:
        me = Reader(page, clinic.world.url, artefacts)
        me.log_in(clinic.accounts[clinic.me].email, clinic.accounts[clinic.me].password)
        me.open_project(TITLES["reading"])
        try:
            yield me
        finally:
            me.screenshot("proposals_last")


def outlines(clinic: Clinic, key: str) -> list[np.ndarray]:
    return [pixels(item) for item in clinic.annotation(key) if item["type"] == "brushlabels"]


def left_prompts(clinic: Clinic, key: str) -> list[str]:
    return [item["from_name"] for item in clinic.annotation(key) if item["from_name"] in ("click", "box")]


def test_a_proposal_is_taken_or_dropped_by_key_and_never_lost_by_a_submit(clinic: Clinic, reader: Reader) -> None:
    reader.switch_on_auto_annotation()
    taken(clinic, reader)
    refused_then_taken(clinic, reader)
    dropped(clinic, reader)
    in_vain(clinic, reader)
    nothing_chosen(reader)
    an_open_comment(clinic, reader)
    the_server_is_down(clinic, reader)
    assert not reader.strangers


def taken(clinic: Clinic, reader: Reader) -> None:
    key = reader.key
    reader.press("2", "s", "k")
    reader.ask(*clinic.face_of[key].inside)
    assert "Enter takes the proposed outline, Esc drops it" in reader.page.locator("#mema-banner").inner_text()
    reader.screenshot("proposal")
    reader.take()
    (mask,) = reader.masks()
    reader.submit()
    np.testing.assert_array_equal(outlines(clinic, key), [mask])
    assert left_prompts(clinic, key) == []


def refused_then_taken(clinic: Clinic, reader: Reader) -> None:
    key = reader.key
    reader.press("2", "s", "k")
    reader.ask(*clinic.face_of[key].inside)
    for by_mouse in (False, True):
        words = reader.submit_in_vain(by_mouse=by_mouse)
        assert "not taken" in words
        assert "Enter takes" in words
        assert "Esc drops" in words
    reader.screenshot("refused")
    reader.take()
    reader.submit()
    assert len(outlines(clinic, key)) == 1


def dropped(clinic: Clinic, reader: Reader) -> None:
    key = reader.key
    reader.press("2", "s", "k")
    reader.ask(*clinic.face_of[key].inside)
    reader.submit_in_vain()
    reader.drop()
    reader.submit()
    assert outlines(clinic, key) == []
    assert left_prompts(clinic, key) == []


def in_vain(clinic: Clinic, reader: Reader) -> None:
    """A click that nobody answers is no outline: it stays on the screen, and the submit says so."""
    key = reader.key
    clinic.backend.kill()
    reader.press("2", "s", "k")
    reader.ask_in_vain(*clinic.face_of[key].inside)
    assert "led to no outline" in reader.submit_in_vain()
    clinic.backend.start()
    reader.press("Escape")
    reader.submit()
    assert left_prompts(clinic, key) == []


def nothing_chosen(reader: Reader) -> None:
    assert "nothing is chosen" in reader.submit_in_vain()


def an_open_comment(clinic: Clinic, reader: Reader) -> None:
    """A comment that is typed but not ended would be lost."""
    key = reader.key
    reader.press("1")
    comment = reader.page.get_by_placeholder("Comment (optional)")
    comment.fill("left lid")
    assert "comment is not ended" in reader.submit_in_vain()
    comment.press("Enter")
    reader.submit()
    said = [item["value"]["text"] for item in clinic.annotation(key) if item["from_name"] == "comment"]
    assert said == [["left lid"]]


def the_server_is_down(clinic: Clinic, reader: Reader) -> None:
    """The answer stays in the page, which says so, and is saved once the server is back."""
    key = reader.key
    reader.press("2", "d", "k")
    reader.ask(*clinic.face_of[key].inside)
    reader.take()
    (mask,) = reader.masks()
    clinic.world.kill()
    reader.press("Control+Enter")
    reader.page.locator("#mema-banner", has_text="your answer is still here").wait_for()
    reader.screenshot("server_down")
    clinic.world.start()
    reader.submit()
    np.testing.assert_array_equal(outlines(clinic, key), [mask])
