"""readers.json: who is compared with whom, on which images."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import cohen_kappa_score

from models.annotation.adjudication import adjudicate
from models.annotation.outlines import consensus_outlines, outlines_by_image
from models.annotation.reader_report import ratings, reader_report
from models.segmentation.masks import decode_mask, dice, encode_mask
from tests.toys.exports import disc

READERS = ["reader_1", "reader_2", "reader_3"]
PLAN = {"a": "bcc", "b": "scc", "c": "tao", "d": "bcc"}


def vote(image_id: str, reader: str, disease: str, copy: int = 0, mask=None, **changes) -> dict:
    return {
        "image_id": image_id, "reader": reader, "round": "reading", "copy": copy, "severity": "",
        "disease": "" if disease == "low" else disease, "quality": "low" if disease == "low" else "usable",
        "mask": None if mask is None else encode_mask(mask), "mask_provenance": "by_hand" if mask is not None else "",
    } | changes  # fmt: skip


def table(*said: str, extra: tuple[dict, ...] = ()) -> pa.Table:
    """`said`: what the three readers call a, b, c, d, as words."""
    rows = [
        vote(image, reader, word)
        for reader, words in zip(READERS, said, strict=True)
        for image, word in zip("abcd", words.split(), strict=True)
        if word != "-"
    ]
    return pa.Table.from_pylist([*rows, *extra])


def report(votes: pa.Table, confusions=None, drawn=None) -> dict:
    verdicts = {one.image_id: one for one in adjudicate(votes, 3)}
    rated = ratings(votes, READERS)
    options = {"method": "majority", "num_resamples": 50, "seed": 0}
    return reader_report(rated, PLAN, verdicts, drawn or {}, confusions, **options)


def test_kappas_use_the_images_that_all_they_compare_found_usable():
    found = report(table("bcc scc tao bcc", "bcc bcc tao low", "bcc scc tao -"))
    assert found["fleiss"]["overall"]["n"] == 3  # d was rejected by one and not seen by another
    assert found["fleiss"]["quality"] == {"value": None, "n": 3, "ci95": None, "why": "only one category was used"}
    pair = found["cohen"]["reader_1|reader_2"]
    assert pair["n"] == 3
    assert pair["value"] == pytest.approx(cohen_kappa_score(["b", "s", "t"], ["b", "b", "t"]), abs=1e-6)
    assert set(found["cohen"]) == {"reader_1|reader_2", "reader_1|reader_3", "reader_2|reader_3"}
    assert "expected" not in found["fleiss"]["overall"]


def test_agreement_with_the_plan_counts_what_was_called():
    found = report(table("bcc scc tao bcc", "bcc bcc tao low", "bcc scc bcc -"))["agreement_with_plan"]
    assert [(found[name]["value"], found[name]["n"]) for name in READERS] == [
        (1.0, 4), (pytest.approx(2 / 3, abs=1e-6), 3), (pytest.approx(2 / 3, abs=1e-6), 3),
    ]  # fmt: skip
    assert (found["adjudicated"]["value"], found["adjudicated"]["n"]) == (1.0, 3)  # d is a tie


def test_repeats_are_compared_with_the_first_reading_and_with_nothing_else():
    repeats = (vote("a", "reader_1", "bcc", 1), vote("b", "reader_1", "tao", 1), vote("c", "reader_1", "low", 1))
    found = report(table("bcc scc tao bcc", "bcc scc tao bcc", "bcc scc tao bcc", extra=repeats))
    assert found["intra"]["reader_1"]["n"] == 2
    assert found["intra"]["reader_1"]["value"] == pytest.approx(cohen_kappa_score(["b", "s"], ["b", "t"]), abs=1e-6)
    assert found["intra"]["reader_2"]["value"] is None
    assert found["fleiss"]["overall"]["value"] == 1.0


def test_the_senior_is_no_reader():
    extra = (vote("a", "senior", "tao", round="adjudication"),)
    assert report(table(*["bcc scc tao bcc"] * 3, extra=extra))["fleiss"]["overall"]["value"] == 1.0


def test_known_skill_gives_every_kappa_of_diseases_what_to_expect():
    perfect = np.eye(8).tolist()
    found = report(table(*["bcc scc tao bcc"] * 3), dict.fromkeys(READERS, perfect))
    assert found["fleiss"]["overall"]["expected"] == 1.0
    assert found["fleiss"]["per_disease"]["bcc"]["expected"] == 1.0
    assert found["fleiss"]["per_disease"]["uveitis"]["expected"] is None  # planned nowhere
    assert found["cohen"]["reader_1|reader_2"]["expected"] == 1.0


def masks_of(*drawn: tuple[str, str, np.ndarray, str], copy: int = 0) -> pa.Table:
    return pa.Table.from_pylist(
        [vote(image, reader, "bcc", copy, mask, mask_provenance=kind) for image, reader, mask, kind in drawn]
    )


def test_outlines_of_more_than_half_of_the_readers_make_a_consensus():
    votes = masks_of(
        ("a", "reader_1", disc(8, 6, 4), "machine_accepted"),
        ("a", "reader_2", disc(8, 6, 3), "by_hand"),
        ("a", "reader_3", disc(8, 6, 2), "by_hand"),
        ("b", "reader_1", disc(), "by_hand"),
        ("c", "reader_1", disc(3, 3, 1), "by_hand"),
        ("c", "reader_2", disc(12, 9, 1), "by_hand"),
        ("d", "reader_1", disc(), "machine_accepted"),
        ("d", "senior", disc(), "machine_accepted"),
        ("e", "reader_1", disc(), "by_hand"),
    )
    repeat = masks_of(("b", "reader_2", disc(), "by_hand"), copy=1)
    drawn = outlines_by_image(pa.concat_tables([votes, repeat]), "abcd")
    assert {image: list(one) for image, one in drawn.items()} == {
        "a": READERS, "b": ["reader_1"], "c": ["reader_1", "reader_2"], "d": ["reader_1", "senior"],
    }  # fmt: skip
    found = consensus_outlines(drawn, 3, "majority")
    assert set(found) == {"a", "d"}  # b has one outline, those of c share no pixel
    assert (found["a"].mask == disc(8, 6, 3)).all()
    assert (found["a"].provenance, found["a"].num_masks) == ("machine_edited", 3)
    assert (found["d"].provenance, found["d"].num_masks) == ("machine_accepted", 2)


def test_dice_and_accepted_masks_by_reader():
    masks = {name: disc(8, 6, radius) for name, radius in zip(READERS, (4, 3, 3), strict=True)}
    votes = masks_of(*(("a", name, mask, "machine_accepted") for name, mask in masks.items()))
    drawn = outlines_by_image(votes, "a")
    found = report(votes, drawn=drawn)
    assert found["dice"]["reader_1"]["value"] == round(dice(masks["reader_1"], masks["reader_2"]), 4)
    assert (found["dice"]["reader_2"]["value"], found["dice"]["reader_2"]["n"]) == (1.0, 1)
    assert found["masks_accepted"]["reader_1"]["value"] == 1.0
    assert decode_mask(votes["mask"][0].as_py()).shape == disc().shape
