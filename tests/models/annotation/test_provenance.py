"""Whose work a mask is, and a log that a kill has cut."""

import numpy as np
import pytest

from models.annotation.provenance import provenance, read_proposals, weakest
from tests.toys.exports import disc, proposal


def shown(tmp_path, *lines: str):
    (tmp_path / "log").write_text("\n".join(lines))
    return read_proposals(tmp_path / "log")


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([], ""),
        ([disc()], "machine_accepted"),
        ([disc(9)], "machine_edited"),
        ([disc(14)], "by_hand"),
        ([disc(), disc()], "machine_accepted"),
        ([disc(), disc(14)], "machine_edited"),
        ([disc(9), disc(14)], "machine_edited"),
        ([disc(14), disc(1)], "by_hand"),
        ([np.ones((3, 3), bool)], "by_hand"),  # of another size than what was shown
    ],
)
def test_several_regions_take_the_weakest(tmp_path, regions, expected):
    log = shown(tmp_path, proposal(disc(), "a"))
    assert provenance(regions, log.of(1, "a")) == expected


def test_any_of_several_proposals_may_have_been_accepted(tmp_path):
    log = shown(tmp_path, proposal(disc(2, 2, 1), "a"), proposal(disc(), "a"))
    assert provenance([disc()], log.of(1, "a")) == "machine_accepted"
    assert provenance([disc()], log.of(1, "b")) == "by_hand"
    assert provenance([disc()], log.of(2, "a")) == "by_hand"


def test_a_union_of_readers_masks_has_one_provenance():
    assert weakest([]) == ""
    assert weakest(["by_hand", "by_hand"]) == "by_hand"
    assert weakest(["machine_accepted", "by_hand"]) == "machine_edited"
    assert weakest(["machine_accepted", ""]) == "machine_accepted"


def test_lines_that_are_cut_or_damaged_are_counted(tmp_path):
    whole = proposal(disc(), "a")
    wrong_digest = whole.replace('"mask_sha256": "', '"mask_sha256": "0')
    log = shown(tmp_path, whole, wrong_digest, "[1]", '{"project": 1}', "", whole[: len(whole) // 2])
    assert log.num_unreadable == 5
    assert len(log.of(1, "a")) == 1


def test_no_log_is_an_empty_one(tmp_path):
    log = read_proposals(tmp_path / "absent")
    assert (log.num_unreadable, list(log.of(1, "a"))) == (0, [])
