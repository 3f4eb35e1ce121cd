"""A project's export: every task and every annotation ends as a vote, skipped, missing, or with a reason."""

import numpy as np
import pytest

from models.annotation.export import REASONS, Reading, read_export
from models.annotation.provenance import ProposalLog, read_proposals
from models.segmentation.masks import decode_mask
from tests.toys.exports import SIZE, annotation, brush, choice, disc, proposal, reader, task

NO_LOG = ProposalLog({}, 0)
BCC, SCC = choice("disease", "bcc"), choice("disease", "scc")


def read(tasks, *keys: str, log: ProposalLog = NO_LOG) -> Reading:
    sizes = {f"image_{key}": SIZE for key in keys}
    return read_export(tasks, "reader_1", reader(*keys), sizes, log)


def reasons(reading: Reading) -> list[tuple[str, str]]:
    assert {one.reason for one in reading.unusable} <= set(REASONS)
    return [(one.key, one.reason) for one in reading.unusable]


def test_votes_come_in_the_manifests_order_with_all_that_was_said():
    exported = [task("b", annotation(SCC)), task("a", annotation(BCC, choice("severity", "mid"), brush(disc())))]
    reading = read(exported, "a", "b")
    first, second = reading.votes
    assert (first["image_id"], first["disease"], first["severity"], first["copy"]) == ("image_a", "bcc", "mid", 0)
    assert (first["round"], first["lead_time_seconds"], first["mask_provenance"]) == ("reading", 7.5, "by_hand")
    assert np.array_equal(decode_mask(first["mask"]), disc())
    assert (second["image_id"], second["mask"], second["mask_provenance"]) == ("image_b", None, "")
    assert (reading.skipped, reading.missing, reading.unusable) == (0, 0, [])


def test_skipped_missing_and_deleted_are_three_things():
    reading = read([task("a", annotation(was_cancelled=True)), task("b")], "a", "b", "c")
    assert (len(reading.votes), reading.skipped, reading.missing) == (0, 1, 1)
    assert reasons(reading) == [("c", "task_deleted")]


def test_the_latest_usable_annotation_counts_and_each_other_is_counted():
    late_but_empty = annotation(number=9)
    reading = read([task("a", annotation(BCC, number=2), late_but_empty, annotation(SCC, number=5))], "a")
    assert [vote["disease"] for vote in reading.votes] == ["scc"]
    assert reasons(reading) == [("a", "empty_submit"), ("a", "duplicate_annotation")]


def test_a_submit_outweighs_a_skip_and_the_skip_is_counted():
    reading = read([task("a", annotation(BCC), annotation(number=2, was_cancelled=True))], "a")
    assert (len(reading.votes), reading.skipped) == (1, 0)
    assert reasons(reading) == [("a", "duplicate_annotation")]
    twice = [annotation(number=number, was_cancelled=True) for number in (1, 2)]
    reading = read([task("a", *twice)], "a")
    assert (reading.skipped, reasons(reading)) == (1, [("a", "duplicate_annotation")])


def test_a_corrected_annotation_is_dated_by_its_correction():
    corrected = annotation(BCC, number=1, updated_at="2026-01-06T08:00:00Z")
    reading = read([task("a", corrected, annotation(SCC, number=2))], "a")
    assert [vote["disease"] for vote in reading.votes] == ["bcc"]


@pytest.mark.parametrize("account", [7, None, {"id": 7, "email": "x@example.org"}, True])
def test_an_annotation_of_another_account_is_none_of_this_reader(account):
    reading = read([task("a", annotation(BCC, completed_by=account))], "a")
    assert (reading.votes, reading.missing, reasons(reading)) == ([], 0, [("a", "not_a_reader")])
    assert "example.org" not in reading.unusable[0].detail


@pytest.mark.parametrize("account", [101, {"id": 101}, {"id": 7, "email": "reader-101@EXAMPLE.org"}])
def test_an_account_is_known_by_number_or_address(account):
    assert len(read([task("a", annotation(BCC, completed_by=account))], "a").votes) == 1


def test_tasks_that_nobody_gave_are_unknown():
    strange = [task("z", annotation(BCC)), task("a", annotation(BCC), image_id="image_b"), {"id": 3}, "task"]
    reading = read([*strange, task("a", annotation(SCC))], "a")
    assert [vote["disease"] for vote in reading.votes] == ["scc"]
    assert reasons(reading) == [("z", "unknown_task"), ("a", "unknown_task"), ("", "malformed"), ("", "malformed")]


def test_a_task_imported_twice_is_one():
    exported = [task("a", annotation(BCC), number=1), task("a", annotation(SCC, number=4), number=2)]
    reading = read(exported, "a")
    assert ([vote["disease"] for vote in reading.votes], reasons(reading)) == (["scc"], [("a", "duplicate_annotation")])


def test_annotations_that_are_no_objects_are_malformed():
    reading = read([task("a", "text", annotation(BCC))], "a")
    assert (len(reading.votes), reasons(reading)) == (1, [("a", "malformed")])


@pytest.mark.parametrize("exported", [{"detail": "Not found"}, None, "[]"])
def test_a_file_that_is_no_list_is_refused_by_name(exported):
    with pytest.raises(ValueError, match=r"export-reader_1\.json: .* where Label Studio writes a list"):
        read(exported, "a")


def test_provenance_is_counted_among_the_votes_with_a_proposal(tmp_path):
    lines = [proposal(disc(), "image_a"), proposal(disc(), "image_b"), proposal(disc(), "image_c", project=2)]
    (tmp_path / "log").write_text("\n".join(lines))
    exported = [
        task("a", annotation(BCC, brush(disc()))),
        task("b", annotation(SCC)),
        task("c", annotation(BCC, brush(disc()))),
    ]
    reading = read(exported, "a", "b", "c", log=read_proposals(tmp_path / "log"))
    kinds = [vote["mask_provenance"] for vote in reading.votes]
    assert kinds == ["machine_accepted", "", "by_hand"]  # the third was shown in another project
    assert (reading.offered, reading.accepted) == (2, 1)
