import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from label_studio_sdk.converter.brush import decode_rle

from models.conditions import DISEASES
from models.segmentation.masks import encode_mask
from tasks import shards
from tasks.label_studio.reading import PlannedTask
from tasks.label_studio.task_data import Notes, pictures, read_notes, task_body, write_images

IDS = [f"{i:064x}" for i in range(4)]
TASK = PlannedTask("0123456789abcdef", IDS[0], 1)
MASK = np.zeros((6, 8), bool)
MASK[2:4, 3:6] = True


def images(folder: Path, diseases: list[str]) -> Path:
    table = pa.table(
        {
            "image_id": IDS[: len(diseases)],
            "image": [f"png {i}".encode() for i in range(len(diseases))],
            "disease": diseases,
            "severity": ["heavy"] * len(diseases),
            "prompt": [f"A face with {disease}" for disease in diseases],
            "donor_id": ["d" * 64] * len(diseases),
        }
    )
    shards.write_shards(table, folder, shard_rows=2)
    return folder


def subset(path: Path) -> Path:
    rows = {"image_id": IDS[:2], "outline": [True, False], "first_mask": [encode_mask(MASK), None]}
    shards.write_table(path, pa.table(rows))
    return path


def bodies(folder: Path, diseases: list[str], *, show: bool) -> str:
    notes = read_notes(
        images(folder / "-".join(diseases), diseases), subset(folder / "s.parquet"), show_intended=show
    )
    return json.dumps([task_body(PlannedTask("k", image_id, 0), note) for image_id, note in notes.items()])


def test_a_blind_task_is_the_same_whatever_was_intended(tmp_path: Path) -> None:
    texts = {bodies(tmp_path, [disease, "bcc", "normal"], show=False) for disease in DISEASES}
    (text,) = texts
    assert not any(word in text for word in [*DISEASES, "heavy", "donor", "d" * 64, "predictions"])


def test_a_task_that_is_not_blind_says_so_and_brings_the_first_mask(tmp_path: Path) -> None:
    notes = read_notes(images(tmp_path / "i", ["bcc", "tao"]), subset(tmp_path / "s"), show_intended=True)
    body = task_body(TASK, notes[IDS[0]])
    assert body["data"]["task_note"] == "If you see a tumour, outline it. Intended: bcc."
    (region,) = body["predictions"][0]["result"]
    assert (region["original_height"], region["original_width"]) == MASK.shape
    shown = decode_rle(region["value"]["rle"]).reshape(*MASK.shape, 4)[:, :, 3] > 0
    assert (shown == MASK).all()
    assert "predictions" not in task_body(TASK, notes[IDS[1]])


def test_a_task_holds_what_the_interface_and_the_export_need() -> None:
    assert task_body(TASK, Notes(outline=True)) == {
        "data": {
            "image": f"/data/local-files/?d=images/{IDS[0]}.png",
            "image_id": IDS[0],
            "key": "0123456789abcdef",
            "task_note": "If you see a tumour, outline it.",
        }
    }


def test_images_outside_the_subset_need_no_outline(tmp_path: Path) -> None:
    notes = read_notes(images(tmp_path / "i", ["bcc"] * 3), subset(tmp_path / "s"), show_intended=False)
    assert [note.outline for note in notes.values()] == [True, False, False]


def test_images_are_written_once_and_cut_ones_again(tmp_path: Path) -> None:
    table, folder = images(tmp_path / "i", ["bcc"] * 3), tmp_path / "files"
    write_images(table, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{IDS[i]}.png": f"png {i}".encode() for i in range(3)
    }
    first = folder / f"{IDS[0]}.png"
    before = first.stat().st_mtime_ns
    (folder / f"{IDS[1]}.png").write_bytes(b"pn")
    write_images(table, folder)
    assert first.stat().st_mtime_ns == before
    assert (folder / f"{IDS[1]}.png").read_bytes() == b"png 1"


def test_only_the_wanted_images_are_written(tmp_path: Path) -> None:
    write_images(images(tmp_path / "i", ["bcc"] * 3), tmp_path / "files", only={IDS[2]})
    assert [path.name for path in (tmp_path / "files").iterdir()] == [f"{IDS[2]}.png"]


@pytest.mark.parametrize("judged", [1, 2])
def test_example_pictures_are_of_images_that_nobody_judges(tmp_path: Path, judged: int) -> None:
    kept = images(tmp_path / "kept", ["bcc", "bcc", "tao", "other"])
    selected = images(tmp_path / "selected", ["bcc"] * judged)
    shown = pictures(kept, selected, DISEASES)
    assert shown == ({"bcc": b"png 1", "tao": b"png 2"} if judged == 1 else {"tao": b"png 2"})
