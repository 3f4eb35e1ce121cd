"""The readers' page from constructed figures: what it says in either case, and where its marks stand."""

import re

import numpy as np
import pytest

from models.diseases import DISEASES
from models.images import encode_png
from models.report.forest import axis, forest, track
from models.report.readers.agreement import expectation
from models.report.readers.galleries import contour
from models.report.readers.measured import Disputed, Example, Outlined, ReadersGallery, ReadersMeasured
from models.report.readers.page import CONTENTS, SIMULATED, page
from models.segmentation.masks import encode_mask

READERS = ("reader_1", "reader_2")
EMPTY = ReadersGallery({}, [], 0, [], 0)


def estimate(value: float | None = 0.6, low: float = 0.5, high: float = 0.7, **more: object) -> dict:
    return {"value": value, "n": 40, "ci95": [low, high]} | more


def readers(source: str = "simulated", **changes: object) -> dict:
    fleiss = {
        "overall": estimate(0.62, 0.55, 0.69),
        "per_disease": {name: estimate() for name in DISEASES},
        "quality": estimate(),
    }
    return {
        "source": source,
        "agreement_with_plan": {name: estimate() for name in (*READERS, "adjudicated")},
        "cohen": {"reader_1|reader_2": estimate()},
        "dice": {name: estimate() for name in READERS},
        "fleiss": fleiss,
        "intra": {name: estimate() for name in READERS},
        "masks_accepted": {name: estimate() for name in READERS},
        "notes": {"agreement_with_plan": "What the plan <intended>."},
    } | changes


def assemble(**changes: object) -> dict:
    cell = {"images": 5, "off": -0.25}
    return {
        "selected": 20,
        "excluded": {"low_quality": 3, "no_votes": 0, "too_few_votes": 0, "quality_tie": 1, "disease_split": 1},
        "decided_by": {"unanimous": 9, "majority": 6, "senior": 3},
        "proportions": {"train": 8, "select": 1, "val": 1},
        "mema": {
            "classes": {"bcc": {"train": cell, "select": cell | {"off": 0.01}, "val": cell | {"off": 0.25}}},
            "images": {"train": 5, "select": 5, "val": 5},
            "deviation": 0.25,
        },
        "mema_seg": {"disease": "bcc", "consensus": "majority", "train": {"images": 4}, "val": {"images": 2}},
        "masks": {
            "bcc": {"images": 9, "outlined": 8, "with_mask": 7},
            "scc": {"images": 5, "outlined": 5, "with_mask": 4},
        },
    } | changes


def annotations(**changes: object) -> dict:
    return {
        "tasks": 40, "votes": 36, "skipped": 2, "missing": 1, "images_never_pushed": 0,
        "unusable": {"total": 0, "share": 0.0, "reasons": {}},
        "masks": {"machine_accepted": 3, "machine_edited": 1, "by_hand": 0},
        "outlines": {"wanted": 8, "drawn": 4},
        "proposals": {"shown": 6, "accepted": 3, "share": 0.5, "ci95": [0.2, 0.8], "unreadable_lines": 0},
    } | changes  # fmt: skip


def measured(**changes: object) -> ReadersMeasured:
    first = {"n": 10, "proposed": 8, "share": 0.8, "ci95": [0.5, 0.9], "mean_score": 0.75}
    values = {
        "title": "T", "profile": "phantom", "prelabel": {"first_masks": first}, "annotations": annotations(),
        "readers": readers(), "assemble": assemble(),
    }  # fmt: skip
    return ReadersMeasured(**(values | changes))


def plain(html: str) -> str:
    """Return a page as its reader sees it: no style, no tags, single spaces."""
    text = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text).replace("&#x27;", "'"))


def test_the_first_sentence_says_what_mema_is_and_each_section_stands_once() -> None:
    made = page(measured(), EMPTY)
    assert (
        "MeMa now holds 15 labelled faces, all generated, in three splits (5 to train, 5 to select and 5 to "
        "validate a model), read by 2 simulated readers; MeMa-Seg is made of 4 images of train and 2 of val"
    ) in plain(made)
    assert re.findall(r'<section id="(\w+)"', made) == list(CONTENTS)


def test_simulated_readers_are_named_so_and_people_get_no_expectation() -> None:
    skill = {"cohen": {"reader_1|reader_2": estimate(expected=0.65)}}
    simulated = plain(page(measured(readers=readers(**skill)), EMPTY))
    assert SIMULATED in simulated
    assert "1 of 1 interval hold the value expected" in simulated
    assert "0.65" in simulated
    people = plain(page(measured(readers=readers("label_studio")), EMPTY))
    assert "simulated" not in people.lower()
    assert "expected" not in people
    assert "with a Fleiss' kappa of 0.62 (95 % interval 0.55 to 0.69)" in people


def test_expectation_counts_the_intervals_that_hold_it() -> None:
    found = readers(
        cohen={"a": estimate(expected=0.5), "b": estimate(expected=0.49), "c": estimate()},
        intra={"d": {"value": 1.0, "n": 3, "ci95": None, "expected": 0.8}},
    )
    assert expectation(found).startswith("1 of 2 intervals hold")


def test_a_kappa_without_value_says_why() -> None:
    nothing = {"value": None, "n": 0, "ci95": None, "why": "no image was rated by all readers"}
    found = readers("label_studio", fleiss=readers()["fleiss"] | {"overall": nothing})
    found["dice"] = {name: {"value": None, "n": 0, "ci95": [None, None]} for name in READERS}
    made = plain(page(measured(readers=found), EMPTY))
    assert "How far the readers agree is unknown: no image was rated by all readers." in made
    assert made.count("nothing to compare") == len(READERS)


def test_marks_stand_where_their_values_are() -> None:
    made = track(estimate(0.5, 0.25, 1.0, expected=0.0), 0.0)
    assert 'cx="50.00%"' in made
    assert 'x1="26.50%" x2="97.00%"' in made
    assert '<svg x="3.00%"' in made
    assert 'aria-label="0.50, 0.25 to 1.00, expected 0.00"' in made
    assert 'cx="50.00%"' in track(estimate(0.25), -0.5)
    assert "<circle" not in track({"value": None, "n": 0, "ci95": None}, 0.0)


def test_the_axis_starts_below_the_lowest_edge() -> None:
    made = forest("who", "kappa", {"<a>": estimate(0.1, -0.3, 0.5)}, caption="c")
    assert axis(-0.5) in made
    assert ">-0.5</text>" in made
    assert "&lt;a&gt;" in made
    assert axis(0.0) in forest("who", "kappa", {"a": estimate()}, caption="c")


def test_counts_deviations_and_reasons() -> None:
    made = plain(page(measured(), EMPTY))
    assert "basal cell carcinoma 5 \u22120.2 5 0.0 5 +0.2 15" in made
    assert "In no split: normal, conjunctivitis," in made
    assert "rejected: low medical quality 3 15.0 %" in made
    assert "the senior 3 16.7 %" in made
    assert "Nothing was unusable." in made


def test_what_was_unusable_stands_there_with_its_reason_known_or_not() -> None:
    reasons = {"mask_size": 2, "rle_damaged": 0, "<new>": 1}
    bad = {"total": 3, "share": 0.075, "reasons": reasons}
    log = annotations()["proposals"] | {"unreadable_lines": 2}
    made = page(measured(annotations=annotations(unusable=bad, images_never_pushed=4, proposals=log)), EMPTY)
    text = plain(made)
    assert "3 answers could not be used, 7.5 % of what came in" in text
    assert "a mask of another size than the image 2 66.7 %" in text
    assert "&lt;new&gt; 1" in text
    assert "run lengths" not in text
    assert "4 selected images never reached a reader" in text
    assert "2 lines of the log" in text


def test_machine_masks_and_proposals_are_counted() -> None:
    made = plain(page(measured(), EMPTY))
    assert "SAM had one for 8 of 10 images planned with a lesion (80.0 %" in made
    assert "6 times a reader saw a mask by the machine on an image; 3 were submitted untouched" in made
    assert "as SAM proposed it, untouched 3 75.0 %" in made
    none = annotations(proposals={"shown": 0, "accepted": 0, "share": None, "ci95": [0, 1], "unreadable_lines": 0})
    empty = {"first_masks": {"n": 0, "proposed": 0, "share": None, "ci95": [0, 1], "mean_score": None}}
    made = plain(page(measured(annotations=none, prelabel=empty), EMPTY))
    assert "No reader was shown a mask by the machine." in made
    assert "the plan asked for no lesion" in made


def test_masks_of_both_tumours_are_counted() -> None:
    made = plain(page(measured(), ReadersGallery({}, [], 0, [], 0)))
    assert "basal cell carcinoma 9 8 7 squamous cell carcinoma 5 5 4 all 14 13 11" in made
    assert "outlines of basal cell carcinoma and squamous cell carcinoma that equal" in made


def test_votes_against_the_verdict_are_marked() -> None:
    image = encode_png(np.zeros((8, 8, 3), np.uint8))
    votes = [
        {"reader": "reader_1", "disease": "bcc", "severity": "mid", "quality": "usable"},
        {"reader": "reader_2", "disease": "scc", "severity": "", "quality": "usable"},
        {"reader": "reader_3", "disease": "", "severity": "", "quality": "low"},
        {"reader": "senior", "disease": "bcc", "severity": "heavy", "quality": "usable"},
    ]
    case = Disputed(Example(image, "bcc", "heavy", "scc"), "senior", votes)
    made = page(measured(), ReadersGallery({}, [case], 7, [], 0))
    assert re.findall(r'<li class="against">([^<]+)', made) == [
        "reader_2: squamous cell carcinoma", "reader_3: low quality",
    ]  # fmt: skip
    assert "basal cell carcinoma, heavy by the senior, planned: squamous cell carcinoma" in plain(made)
    assert "On 7 images of train" in plain(made)


def test_an_outlined_image_tells_its_provenance() -> None:
    image, mask = encode_png(np.zeros((8, 12, 3), np.uint8)), np.zeros((8, 12), bool)
    mask[2:4, 3:8] = True
    one = Outlined(Example(image, "bcc", "mid", "bcc"), encode_mask(mask), "machine_edited", 3)
    made = page(measured(), ReadersGallery({}, [], 0, [one], 30))
    assert 'viewBox="0 0 12 8" width="288" height="192"' in made
    assert "M3 2h5M3 4h5M3 2v2M8 2v2" in made
    assert "mid; SAM's proposal, edited; 3 outlines, 10 px" in plain(made)
    assert "1 of 30 images of train" in plain(made)


@pytest.mark.parametrize("seed", range(3))
def test_a_contour_runs_between_every_two_pixels_that_differ(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 7)) < 0.5
    edges = set()
    for x, y, way, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", contour(mask)):
        for step in range(int(length)):
            place = (int(x) + step, int(y)) if way == "h" else (int(x), int(y) + step)
            assert (way, *place) not in edges
            edges.add((way, *place))
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[1:] != padded[:-1])
    expected = {("h", x - 1, y) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)}
    rows, columns = np.nonzero(padded[:, 1:] != padded[:, :-1])
    expected |= {("v", x, y - 1) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)}
    assert edges == expected


def test_text_from_outside_is_escaped() -> None:
    made = page(measured(title="<script>x</script>"), EMPTY)
    assert "<script>" not in made
    assert "&lt;script&gt;x&lt;/script&gt;" in made
    assert "&lt;intended&gt;" in made
