import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from mema.label_studio.exchange.reading import PlannedTask
from mema.label_studio.exchange.task_data import (
    Notes,
    disguise,
    pictures,
    read_notes,
    remove_undisguised,
    task_body,
    write_pictures,
)
from mema.runtime import shards
from models.diseases import DISEASES
from models.images import decode, encode_png
from models.segmentation.masks import encode_mask

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
    notes = read_notes(images(folder / "-".join(diseases), diseases), subset(folder / "s.parquet"), show_intended=show)
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
            "image": "/data/local-files/?d=images/0123456789abcdef.png",
            "key": "0123456789abcdef",
            "task_note": "If you see a tumour, outline it.",
        }
    }


def test_images_outside_the_subset_need_no_outline(tmp_path: Path) -> None:
    notes = read_notes(images(tmp_path / "i", ["bcc"] * 3), subset(tmp_path / "s"), show_intended=False)
    assert [note.outline for note in notes.values()] == [True, False, False]


def pixel_table(folder: Path, count: int) -> tuple[Path, list[np.ndarray]]:
    pixels = [np.random.default_rng(i).integers(0, 256, (24, 20, 3), np.uint8) for i in range(count)]
    table = pa.table({"image_id": IDS[:count], "image": [encode_png(one) for one in pixels]})
    shards.write_shards(table, folder, shard_rows=2)
    return folder, pixels


def test_each_task_has_a_picture_of_its_own_that_shows_the_same(tmp_path: Path) -> None:
    """Two showings of an image share neither name, size, bytes, digest nor date, only what is seen."""
    table, pixels = pixel_table(tmp_path / "i", 2)
    keys = {IDS[0]: ["a" * 16, "b" * 16], IDS[1]: ["c" * 16]}
    write_pictures(table, tmp_path / "files", keys)
    files = sorted((tmp_path / "files").iterdir())
    assert [file.stem for file in files] == ["a" * 16, "b" * 16, "c" * 16]
    for file, wanted in zip(files, [pixels[0], pixels[0], pixels[1]], strict=True):
        np.testing.assert_array_equal(decode(file.read_bytes()), wanted)
        with Image.open(file) as seen:  # another decoder
            np.testing.assert_array_equal(np.asarray(seen.convert("RGB")), wanted)
    assert len({file.stat().st_size for file in files}) == 3
    assert len({file.stat().st_mtime_ns for file in files}) == 1
    assert not any(image_id in repr(file.read_bytes()) for file in files for image_id in IDS)


def test_sizes_of_many_pictures_do_not_pair_the_repeats() -> None:
    png = encode_png(np.zeros((24, 20, 3), np.uint8))
    sizes = [len(disguise(png, f"{i:016x}")) for i in range(200)]
    assert len(set(sizes)) > 180
    assert max(sizes) - min(sizes) > 3500


def test_pictures_are_written_once_and_cut_ones_again(tmp_path: Path) -> None:
    table, pixels = pixel_table(tmp_path / "i", 2)
    keys = {IDS[0]: ["a" * 16], IDS[1]: ["b" * 16]}
    write_pictures(table, tmp_path / "files", keys)
    first, second = (tmp_path / "files" / f"{letter * 16}.png" for letter in "ab")
    before = first.stat().st_ino
    second.write_bytes(b"pn")
    write_pictures(table, tmp_path / "files", keys)
    assert first.stat().st_ino == before
    np.testing.assert_array_equal(decode(second.read_bytes()), pixels[1])


def test_only_pictures_of_planned_tasks_are_written(tmp_path: Path) -> None:
    table, _ = pixel_table(tmp_path / "i", 3)
    write_pictures(table, tmp_path / "files", {IDS[2]: ["d" * 16]})
    assert [path.name for path in (tmp_path / "files").iterdir()] == [f"{'d' * 16}.png"]


def test_an_image_of_another_format_becomes_a_png(tmp_path: Path) -> None:
    picture = disguise(b"P6 3 2 255\n" + bytes(range(18)), "a" * 16)
    np.testing.assert_array_equal(decode(picture), np.arange(18, dtype=np.uint8).reshape(2, 3, 3))


def test_pictures_that_are_named_by_their_image_go(tmp_path: Path) -> None:
    for name in (f"{IDS[0]}.png", f"{'a' * 16}.png", "notes.txt"):
        (tmp_path / name).touch()
    assert remove_undisguised(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == {f"{'a' * 16}.png", "notes.txt"}


@pytest.mark.parametrize("judged", [1, 2])
def test_example_pictures_are_of_images_that_nobody_judges(tmp_path: Path, judged: int) -> None:
    kept = images(tmp_path / "kept", ["bcc", "bcc", "tao", "other"])
    selected = images(tmp_path / "selected", ["bcc"] * judged)
    shown = pictures(kept, selected, DISEASES)
    assert shown == ({"bcc": b"png 1", "tao": b"png 2"} if judged == 1 else {"tao": b"png 2"})
