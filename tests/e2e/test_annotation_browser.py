"""One reader's morning in a real browser, on a real server and SAM; and the table of votes it leaves."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mema.label_studio.exchange.project import TITLES
from models.segmentation.masks import box_of, decode_mask
from models.segmentation.prompts import inner_point
from tests.e2e.browser import Reader, chromium, pixels
from tests.e2e.clinic import ME, NUM_IMAGES, SIZE_PX, Backend, Clinic, Face
from tests.e2e.label_studio_world import ROOT, LabelStudioWorld

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
TWIN = ROOT / "data/phantom/twins/sam"


@pytest.fixture(scope="module")
def clinic(label_studio: LabelStudioWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("clinic")
    checkpoint = TWIN
    backend = Backend(label_studio.root, checkpoint, folder / "backend.log", label_studio.sam_port)
    try:
        yield Clinic(label_studio, backend, folder)
    finally:
        backend.kill()


@pytest.fixture
def reader(clinic: Clinic) -> Iterator[Reader]:
    artefacts = Path(os.environ.get("MEMA_ARTEFACTS", ROOT / ".scratch/artefacts"))
    with chromium() as page:
        me = Reader(page, clinic.world.url, artefacts)
        try:
            yield me
        finally:
            me.screenshot("last")


def test_a_reader_s_morning(clinic: Clinic, reader: Reader) -> None:
    start = time.perf_counter()
    reader.log_in(clinic.accounts[ME].email, clinic.accounts[ME].password)
    reader.open_project(TITLES["reading"])
    edited = correct_a_mask(clinic, reader)
    first_submit_seconds = time.perf_counter() - start
    rejected = reject(clinic, reader)
    accepted = accept_across_a_kill(clinic, reader)
    boxed = accept_a_box(clinic, reader)
    clinic.world.kill()
    clinic.world.start()
    painted = paint(clinic, reader)
    normal = [call_normal(clinic, reader) for _ in range(NUM_IMAGES - 6)]
    reader.press("1")
    normal.append(clinic.face_of[reader.key])
    reader.submit_last()
    report(reader, first_submit_seconds)

    votes = clinic.votes()
    assert set(votes) == set(clinic.faces)
    ill = {"disease": "bcc", "quality": "usable", "quality_reason": "", "round": "reading", "copy": 0}
    for (face, mask), severity, provenance in (
        (edited, "slight", "machine_edited"),
        (accepted, "mid", "machine_accepted"),
        (boxed, "heavy", "machine_accepted"),
        (painted, "mid", "by_hand"),
    ):
        vote = votes[face.image_id]
        assert vote.items() >= (ill | {"severity": severity, "mask_provenance": provenance}).items()
        np.testing.assert_array_equal(decode_mask(vote["mask"]), mask)
    assert votes[edited[0].image_id]["confidence"] == "high"
    assert votes[edited[0].image_id]["comment"] == "edge unclear"
    low = {"disease": "", "severity": "", "quality": "low", "quality_reason": "blurred", "mask": None}
    assert votes[rejected.image_id].items() >= low.items()
    for face in normal:
        plain = {"disease": "normal", "severity": "", "quality": "usable", "mask": None}
        assert votes[face.image_id].items() >= plain.items()
    assert not reader.strangers


def correct_a_mask(clinic: Clinic, reader: Reader) -> tuple[Face, np.ndarray]:
    """A disease by key, a click, the mask accepted, selected, and a stroke of the brush added."""
    key = reader.key
    face = clinic.face_of[key]
    reader.press("2", "a", "j")
    reader.page.get_by_placeholder("Comment (optional)").fill("edge unclear")
    reader.page.get_by_placeholder("Comment (optional)").press("Enter")
    reader.switch_on_auto_annotation()
    reader.press("k")
    reader.ask(*face.inside)
    reader.screenshot("proposal")
    reader.accept()
    (proposed,) = reader.masks()
    x, y = inner_point(proposed)
    reader.select_mask(x, y)
    reader.press("b")
    reader.stroke((x, y), nearest_outside(proposed, x, y))
    reader.screenshot("corrected")
    (mask,) = reader.masks()
    assert (mask & ~proposed).any()
    return face, submitted(clinic, reader, key, mask)


def nearest_outside(mask: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Return the pixel outside a mask that is nearest to a point in it, where a brush adds something."""
    rows, columns = np.nonzero(~mask)
    nearest = np.argmin((rows - y) ** 2 + (columns - x) ** 2)
    return float(columns[nearest]), float(rows[nearest])


def submitted(clinic: Clinic, reader: Reader, key: str, mask: np.ndarray) -> np.ndarray:
    """Submit, and check that the server holds the page's mask; return it."""
    reader.submit()
    regions = [item for item in clinic.annotation(key) if item["type"] == "brushlabels"]
    assert [(item["original_height"], item["original_width"]) for item in regions] == [(SIZE_PX, SIZE_PX)]
    np.testing.assert_array_equal(pixels(regions[0]), mask)
    return mask


def reject(clinic: Clinic, reader: Reader) -> Face:
    """Low quality with a reason; the disease that was said before does not count."""
    face = clinic.face_of[reader.key]
    reader.press("3")
    reader.press("0", "q")
    reader.screenshot("rejected")
    reader.submit()
    return face


def accept_across_a_kill(clinic: Clinic, reader: Reader) -> tuple[Face, np.ndarray]:
    """The backend dies between two clicks: the second click has no mask, the third has one again."""
    key = reader.key
    face = clinic.face_of[key]
    reader.press("2", "s", "k")
    reader.ask(*face.inside)
    reader.reject_mask()
    clinic.backend.kill()
    reader.ask_in_vain(*face.inside)
    assert reader.masks() == []
    clinic.backend.start()
    reader.press("Control+z")
    for _ in range(10):
        reader.ask(*face.inside)
        reader.reject_mask()
    reader.ask(*face.inside)
    reader.accept()
    (mask,) = reader.masks()
    return face, submitted(clinic, reader, key, mask)


def accept_a_box(clinic: Clinic, reader: Reader) -> tuple[Face, np.ndarray]:
    key = reader.key
    face = clinic.face_of[key]
    left, top, right, bottom = box_of(face.lesion)
    reader.press("2", "d", "r")
    reader.draw_box(left - 1, top - 1, right + 1, bottom + 1)
    reader.accept()
    (mask,) = reader.masks()
    return face, submitted(clinic, reader, key, mask)


def paint(clinic: Clinic, reader: Reader) -> tuple[Face, np.ndarray]:
    key = reader.key
    face = clinic.face_of[key]
    x, y = face.inside
    reader.press("2", "s", "b")
    reader.stroke((x - 3, y), (x + 3, y))
    (mask,) = reader.masks()
    assert mask[y, x]
    return face, submitted(clinic, reader, key, mask)


def call_normal(clinic: Clinic, reader: Reader) -> Face:
    face = clinic.face_of[reader.key]
    reader.press("1")
    reader.submit()
    return face


def report(reader: Reader, first_submit_seconds: float) -> None:
    """Print what was measured."""
    clicks, opening = np.array(reader.clicks_seconds), np.array(reader.opening_seconds)
    print(
        f"login to first submit {first_submit_seconds:.1f} s; a click p50 {np.median(clicks):.2f} s, "
        f"p95 {np.quantile(clicks, 0.95):.2f} s of {len(clicks)}; opening a task p50 {np.median(opening):.2f} s, "
        f"p95 {np.quantile(opening, 0.95):.2f} s of {len(opening)}"
    )
