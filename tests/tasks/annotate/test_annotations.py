"""The stage annotations on whole folders of exports: what is written, what is refused, what is not leaked."""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mema.params.annotate import Annotations
from mema.runtime import shards
from models.annotation.votes import VOTE, disagreements, image_sizes
from models.images import encode_png
from models.segmentation.masks import decode_mask
from tasks import schemas
from tasks.annotate import annotations
from tests.toys.exports import SIZE, annotation, brush, choice, disc, entry, proposal, task, write_folder

KEYS = "abcd"
BCC, SCC, TAO = (choice("disease", name) for name in ("bcc", "scc", "tao"))
REJECT = choice("quality", "low")


def write_selection(root: Path) -> Path:
    picture = encode_png(np.zeros((*SIZE, 3), np.uint8))
    rows = [{"image_id": f"image_{key}", "image": picture} for key in KEYS]
    shards.write_shards(pa.Table.from_pylist(rows), root / "selected", shard_rows=3)
    outlines = [{"image_id": f"image_{key}", "outline": key != "b", "first_mask": None} for key in KEYS]
    shards.write_table(root / "subset.parquet", pa.Table.from_pylist(outlines, schema=schemas.SUBSET))
    return root / "selected"


def entries() -> dict:
    """Two readers of four images, and a senior of one."""
    return {
        "ann": entry(*KEYS, user=101, project=1),
        "bob": entry(*KEYS, user=102, project=2),
        "chief": entry("b", user=103, project=3, round_="adjudication"),
    }


def exports() -> dict[str, list]:
    comment = {"from_name": "comment", "type": "textarea", "value": {"text": ["secret words"]}}
    return {
        "ann": [
            task("a", annotation(BCC, brush(disc()), comment)), task("b", annotation(BCC)),
            task("c", annotation(TAO)), task("d", annotation(was_cancelled=True)),
        ],
        "bob": [
            task("a", annotation(BCC, brush(disc(9)), completed_by=102)), task("b", annotation(SCC, completed_by=102)),
            task("c", annotation(REJECT, completed_by=102)), task("d"),
        ],
        "chief": [task("b", annotation(SCC, completed_by={"id": 103}))],
    }  # fmt: skip


def run(root: Path, max_unusable: float = 0.02, *, allow_incomplete: bool = True) -> dict:
    """Run the stage where it is not refused; return its metrics."""
    paths = (root / "selected", root / "subset.parquet", root / "exports", root / "out", root / "metrics.json")
    annotations.run(*paths, Annotations(max_unusable=max_unusable, allow_incomplete=allow_incomplete))
    return json.loads((root / "metrics.json").read_text())


def world(root: Path, changed: dict | None = None, log: str = "") -> Path:
    write_selection(root)
    write_folder(root / "exports", entries(), exports() | (changed or {}), log)
    return root


def test_votes_and_counts_say_what_was_said(tmp_path):
    log = "\n".join([proposal(disc(), "image_a", 1), proposal(disc(), "image_a", 2), '{"time": "2026'])
    metrics = run(world(tmp_path, log=log))
    votes = shards.read_table(tmp_path / "out/votes.parquet")
    assert votes.schema.equals(VOTE)
    said = [(row["reader"], row["image_id"][-1], row["disease"], row["quality"]) for row in votes.to_pylist()]
    assert said == [
        ("ann", "a", "bcc", "usable"), ("ann", "b", "bcc", "usable"), ("ann", "c", "tao", "usable"),
        ("bob", "a", "bcc", "usable"), ("bob", "b", "scc", "usable"), ("bob", "c", "", "low"),
        ("chief", "b", "scc", "usable"),
    ]  # fmt: skip
    assert (decode_mask(votes["mask"][0].as_py()) == disc()).all()
    reasons = metrics["unusable"].pop("reasons")
    assert set(reasons.values()) == {0}
    assert metrics == {
        "source": "label_studio", "tasks": 9, "votes": 7, "skipped": 1, "missing": 1, "images_never_pushed": 0,
        "answers_retired": 0, "findings": {"prompt_without_mask": 0},
        "unusable": {"total": 0, "share": 0.0},
        "masks": {"machine_accepted": 1, "machine_edited": 1, "by_hand": 0},
        "outlines": {"wanted": 2, "drawn": 2},
        "proposals": {
            "shown": 2, "accepted": 1, "share": 0.5, "ci95": [0.094531, 0.905469], "unreadable_lines": 1,
        },
    }  # fmt: skip


def test_metrics_and_the_table_of_readers_hold_no_text_and_no_account(tmp_path):
    run(world(tmp_path))
    written = (tmp_path / "metrics.json").read_text()
    who = (tmp_path / "out/readers.json").read_text()
    assert json.loads(who) == {
        "source": "label_studio", "readers": ["ann", "bob"], "senior": "chief", "confusions": None,
    }  # fmt: skip
    assert "secret" in "".join(shards.read_table(tmp_path / "out/votes.parquet")["comment"].to_pylist())
    assert not any(word in written + who for word in ("secret", "image_a", "example.org", "101"))


def test_bad_things_are_counted_by_reason_and_too_many_are_refused_after_the_metrics(tmp_path):
    bob = [
        task("a", annotation(BCC, brush(disc().T), completed_by=102)),
        task("b", annotation(SCC, brush(disc(), image_rotation=90), completed_by=102)),
        task("c", annotation(completed_by=102), annotation(TAO)),
        task("x", annotation(BCC, completed_by=102)),
    ]
    root = world(tmp_path, {"bob": bob})
    with pytest.raises(ValueError, match=r"annotations\.max_unusable") as error:
        run(root)
    assert str(error.value) == (
        "annotations.max_unusable: 6 annotations or tasks are unusable (54.5%, allowed 2.0%): "
        "bob x (unknown_task), bob a (mask_size), bob b (rotated_image), bob c (empty_submit), "
        "bob c (not_a_reader) and 1 more; see unusable.parquet, have them done again and pull"
    )
    unusable = json.loads((root / "metrics.json").read_text())["unusable"]
    assert {name: count for name, count in unusable["reasons"].items() if count} == {
        "unknown_task": 1, "mask_size": 1, "rotated_image": 1, "empty_submit": 1, "not_a_reader": 1,
        "task_deleted": 1,
    }  # fmt: skip
    rows = shards.read_table(root / "out/unusable.parquet")
    assert rows.schema.equals(schemas.UNUSABLE)
    assert (rows.num_rows, unusable["total"]) == (6, 6)


def test_a_few_bad_things_warn(tmp_path, caplog):
    root = world(tmp_path, {"chief": [task("b", annotation(completed_by=103))]})
    with caplog.at_level(logging.WARNING):
        assert run(root, max_unusable=0.2)["unusable"]["total"] == 1
    assert "1 annotations are unusable" in caplog.text


def test_the_senior_is_asked_about_what_the_readers_leave_open(tmp_path):
    root = world(tmp_path)
    (root / "exports/export-chief.json").unlink()  # not needed to find out what the senior has to see
    assert disagreements(root / "exports", root / "selected") == ["image_b", "image_c"]


def test_an_export_that_is_missing_or_cut_is_named(tmp_path):
    root = world(tmp_path)
    file = root / "exports/export-bob.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(ValueError, match=r"export-bob\.json: no whole JSON"):
        run(root)
    file.unlink()
    with pytest.raises(ValueError, match=r"export-bob\.json: not found; pull"):
        run(root)


def test_annotations_of_another_selection_are_refused(tmp_path):
    root = world(tmp_path)
    (root / "selected/shard-00001.parquet").unlink()
    with pytest.raises(ValueError, match="1 images are not in the selection, image_d first; it has changed"):
        run(root)


def test_images_that_nobody_was_given_are_counted(tmp_path):
    root = world(tmp_path)
    readers = {"ann": entry("a", "b", "c")}
    write_folder(root / "exports", readers, {"ann": exports()["ann"][:3]})
    assert run(root)["images_never_pushed"] == 1


def test_sizes_are_height_and_width_of_any_picture(tmp_path):
    rows = [{"image_id": "png", "image": encode_png(np.zeros((5, 9, 3), np.uint8))}]
    ppm = b"P6 3 2 255\n" + bytes(18)
    shards.write_shards(pa.Table.from_pylist([*rows, {"image_id": "ppm", "image": ppm}]), tmp_path / "s", shard_rows=9)
    assert image_sizes(tmp_path / "s") == {"png": (5, 9), "ppm": (2, 3)}


def done_exports() -> dict[str, list]:
    """All four images read by both readers, who differ on b and c; the senior has b."""
    said = exports()
    said["bob"][3] = task("d", annotation(TAO, completed_by=102))
    return said


def test_half_read_work_is_refused_before_anything_is_written_but_the_metrics(tmp_path):
    root = world(tmp_path)
    with pytest.raises(ValueError, match=r"1 of 9 tasks are not answered \(bob 1\): have them read") as error:
        run(root, allow_incomplete=False)
    assert "dvc checkout data/annotations" in str(error.value)
    assert "disput" not in str(error.value), "told once the readers are through"
    assert not (root / "out").exists()
    assert json.loads((root / "metrics.json").read_text())["missing"] == 1


def test_a_dispute_that_the_senior_was_not_given_is_no_end(tmp_path):
    root = world(tmp_path, done_exports())
    with pytest.raises(ValueError, match="1 images on which the readers differ were not given to the senior"):
        run(root, allow_incomplete=False)


def test_a_senior_who_is_not_through_is_no_end(tmp_path):
    root = world(tmp_path, done_exports() | {"chief": [task("b")]})
    with pytest.raises(ValueError, match=r"1 of 9 tasks are not answered \(chief 1\).*1 images on which"):
        run(root, allow_incomplete=False)


def test_images_that_nobody_was_given_are_no_end(tmp_path):
    root = world(tmp_path)
    write_folder(root / "exports", {"ann": entry("a", "b", "c")}, {"ann": exports()["ann"][:3]})
    with pytest.raises(ValueError, match="1 selected images were given to nobody: push"):
        run(root, allow_incomplete=False)


def test_complete_work_passes(tmp_path):
    entries_ = entries() | {"chief": entry("b", "c", user=103, project=3, round_="adjudication")}
    chief = [task("b", annotation(SCC, completed_by=103)), task("c", annotation(REJECT, completed_by=103))]
    write_selection(tmp_path)
    write_folder(tmp_path / "exports", entries_, done_exports() | {"chief": chief})
    assert run(tmp_path, allow_incomplete=False)["votes"] == 9


def test_what_is_allowed_to_be_half_read_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run(world(tmp_path), allow_incomplete=True)
    assert "not complete, and allowed to be: 1 of 9 tasks" in caplog.text


CLICK = {"from_name": "click", "to_name": "face", "type": "keypoint", "value": {"x": 50, "y": 50, "width": 0.4}}


def test_a_click_whose_outline_was_never_taken_is_a_finding_and_the_vote_counts(tmp_path, caplog):
    """What a submit with a pending proposal leaves: disease, severity, a point, and no mask."""
    ann = exports()["ann"]
    ann[0] = task("a", annotation(BCC, CLICK))
    ann[1] = task("b", annotation(BCC, brush(disc()), CLICK))  # the mask was taken
    with caplog.at_level(logging.WARNING):
        metrics = run(world(tmp_path, {"ann": ann}, log=proposal(disc(), "image_a", 1)))
    assert metrics["findings"] == {"prompt_without_mask": 1}
    assert metrics["unusable"]["total"] == 0
    assert metrics["votes"] == 7
    (row,) = shards.read_table(tmp_path / "out/findings.parquet").to_pylist()
    assert (row["reader"], row["key"], row["reason"]) == ("ann", "a", "prompt_without_mask")
    assert "1 answers hold a click or box" in caplog.text


def test_exports_without_image_ids_are_read_like_those_with_them(tmp_path):
    with_ids = run(world(tmp_path / "with"))
    bare = exports()
    for tasks in bare.values():
        for one in tasks:
            del one["data"]["image_id"]
    assert run(world(tmp_path / "bare", bare)) == with_ids
    votes = [shards.read_table(tmp_path / name / "out/votes.parquet") for name in ("with", "bare")]
    assert votes[0].equals(votes[1])


def test_answers_on_images_that_are_no_longer_selected_are_counted_and_no_fault(tmp_path):
    root = world(tmp_path)
    readers = entries()
    readers["ann"]["retired"] = [{"key": "old", "image_id": "image_old", "copy": 0}]
    said = exports()
    said["ann"].append(task("old", annotation(TAO), image_id="image_old"))
    write_folder(root / "exports", readers, said)
    metrics = run(root)
    assert (metrics["answers_retired"], metrics["unusable"]["total"], metrics["votes"]) == (1, 0, 7)
