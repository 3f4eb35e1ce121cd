"""The benchmark's page from files: the same patients for every method, and what is missing or does not belong there."""

import base64
import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from mema.runtime import durable, shards
from models.diseases import DISEASES
from tasks import schemas
from tasks.deidentify import report_benchmark
from tests.worlds.benchmark_page import METHODS, clinical, write_metrics, write_pictures

URI = re.compile(r'"data:image/\w+;base64,([^"]+)"')
ROW = re.compile(r'<tr><th scope="row">([^<]+)</th>(.*?)</tr>', re.DOTALL)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report_benchmark")
    write_metrics(root / "metrics")
    write_pictures(root)
    return root


def page_of(root: Path, out: Path, *, title: str = "T", profile: str = "phantom") -> str:
    report_benchmark.run(
        root / "metrics", root / "mema", root / "deidentified", out / "index.html", title=title, profile=profile
    )
    return (out / "index.html").read_text()


def pictures(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in URI.findall(html)]


def grid(html: str, anchor: str) -> dict[str, list[bytes]]:
    """Return the pictures of each row of a section."""
    found = re.search(rf'<section id="{anchor}".*?</section>', html, re.DOTALL)
    assert found
    return {name: pictures(row) for name, row in ROW.findall(found.group())}


def expected(root: Path, method: str, column: str = "image") -> list[bytes]:
    """Return a method's pictures of the first image of each disease; in the world their donors differ."""
    first: dict[str, str] = {}
    for row in shards.read_table(root / "mema/val").to_pylist():
        first.setdefault(row["disease"], row["image_id"])
    made = {row["image_id"]: row[column] for row in shards.read_table(root / "deidentified" / method).to_pylist()}
    return [made[first[disease]] for disease in DISEASES]


def copied(root: Path, out: Path) -> Path:
    shutil.copytree(root, out)
    return out


def test_every_method_shows_the_same_patients(root: Path, tmp_path: Path) -> None:
    rows = grid(page_of(root, tmp_path), "pictures")
    names = {
        "Gaussian blur": "blur", "pixelation": "pixelate", "bar over the eyes": "eye_bar",
        "k-same mean": "k_same", "inpainting": "inpaint", "MedSem-DeID": "medsem",
    }  # fmt: skip
    assert list(rows) == ["original", *names]
    for shown, method in names.items():
        assert rows[shown] == expected(root, method), method
    assert len({bytes(b"".join(row)) for row in rows.values()}) == len(rows)


def test_the_passwords_are_shown_beside_the_original(root: Path, tmp_path: Path) -> None:
    page = page_of(root, tmp_path)
    rows = grid(page, "passwords")
    assert rows["X, original"] == grid(page, "pictures")["original"]
    assert rows["X_enc, de-identified"] == expected(root, "medsem")
    assert rows["X_hat, right password"] == expected(root, "medsem", "recovered")
    assert rows["X_wrong, wrong password"] == expected(root, "medsem", "wrong")


def test_patients_are_one_a_disease_and_different_people_where_there_are(root: Path) -> None:
    diseases, agreed = ["bcc", "normal", "bcc", "normal", "tao"], ["unanimous"] * 5
    assert report_benchmark.choose_patients(diseases, ["a", "a", "b", "b", "c"], agreed) == [1, 2, 4]
    assert report_benchmark.choose_patients(diseases, ["a"] * 5, agreed) == [1, 0, 4]
    assert report_benchmark.choose_patients([], [], []) == []


def test_patients_whom_all_readers_named_alike_come_first(root: Path) -> None:
    diseases = ["bcc", "bcc", "normal", "normal", "tao"]
    decided = ["senior", "unanimous", "majority", "senior", "majority"]
    assert report_benchmark.choose_patients(diseases, ["a", "b", "b", "c", "a"], decided) == [2, 1, 4]


def test_another_plan_stands_under_the_disease_and_only_there(root: Path, tmp_path: Path) -> None:
    assert "planned:" not in page_of(root, tmp_path)
    world = copied(root, tmp_path / "world")
    rows = shards.read_table(world / "mema/val").to_pylist()
    for row in rows:
        row["planned_disease"] = "tao" if row["disease"] == "uveitis" else row["disease"]
    shards.write_shards(pa.Table.from_pylist(rows, schema=schemas.MEMA), world / "mema/val", shard_rows=5)
    page = page_of(world, tmp_path)
    heads = re.findall(r'<th scope="col" title="([^"]+)">(.*?)</th>', page)
    assert {name for name, head in heads if "planned:" in head} == {"uveitis"}
    assert page.count("planned: thyroid associated ophthalmopathy") == 2  # methods, and passwords


def test_the_page_is_self_contained_small_and_names_nobody(root: Path, tmp_path: Path) -> None:
    page = page_of(root, tmp_path)
    assert not re.search(r"https?:|//|<script|<link|@import|url\(|<iframe", URI.sub('""', page))
    assert (tmp_path / "index.html").stat().st_size < 4e6
    table = shards.read_table(root / "mema/val", columns=["image_id", "donor_pseudonym"])
    assert not [name for name in table["image_id"].to_pylist() if name[:8] in page]
    assert not [name for name in table["donor_pseudonym"].to_pylist() if name in page]
    assert page.count("<img ") == len(pictures(page)) == 8 * (1 + len(METHODS) - 1 + 4)


def test_equal_inputs_give_equal_bytes(root: Path, tmp_path: Path) -> None:
    assert page_of(root, tmp_path / "a") == page_of(root, tmp_path / "b")


@pytest.mark.parametrize(("missing", "stage"), report_benchmark.METRICS.items())
def test_missing_metrics_name_the_stage_to_run(root: Path, tmp_path: Path, missing: str, stage: str) -> None:
    world = copied(root, tmp_path / "world")
    (world / f"metrics/{missing}.json").unlink()
    with pytest.raises(ValueError, match=rf"{missing}\.json: not found; .*\(dvc repro {stage}\)"):
        page_of(world, tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_figures_of_other_data_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"medical\.json: measured under the profile 'phantom', the page is of 'paper'"
    ):
        page_of(root, tmp_path, profile="paper")
    world = copied(root, tmp_path / "world")
    found = json.loads((world / "metrics/utility.json").read_text())
    durable.write_json(world / "metrics/utility.json", found | {"profile": "photos"})
    with pytest.raises(
        ValueError, match=r"utility\.json: measured under the profile 'photos'.*dvc repro evaluate_utility"
    ):
        page_of(world, tmp_path)
    durable.write_json(world / "metrics/utility.json", {"profile": "phantom"})
    with pytest.raises(ValueError, match=r"utility\.json: has no `rows`"):
        page_of(world, tmp_path)


def test_the_physicians_table_needs_no_profile_but_no_other_one(root: Path, tmp_path: Path) -> None:
    world = copied(root, tmp_path / "world")
    durable.write_json(world / "metrics/clinical.json", clinical())
    assert "described as: drawn faces" in page_of(world, tmp_path)
    durable.write_json(world / "metrics/clinical.json", clinical() | {"profile": "paper"})
    with pytest.raises(ValueError, match=r"clinical\.json: measured under.*-m tasks\.deidentify\.evaluate_clinical"):
        page_of(world, tmp_path)


def test_a_method_without_its_images_is_refused(root: Path, tmp_path: Path) -> None:
    world = copied(root, tmp_path / "world")
    table = shards.read_table(world / "deidentified/blur")
    shards.write_shards(table.slice(0, 9), world / "deidentified/blur", shard_rows=4)  # the last nine of val
    with pytest.raises(ValueError, match=r"deidentified/blur: lacks 7 of the 8 images .*dvc repro deidentify"):
        page_of(world, tmp_path)
    shutil.rmtree(world / "deidentified/blur")
    assert "Gaussian blur" not in grid(page_of(world, tmp_path), "pictures")
    shutil.rmtree(world / "deidentified/medsem")
    with pytest.raises(ValueError, match=r"deidentified/medsem: not found; .*dvc repro deidentify"):
        page_of(world, tmp_path)


def test_what_was_not_recovered_leaves_a_gap(root: Path, tmp_path: Path) -> None:
    world = copied(root, tmp_path / "world")
    rows = shards.read_table(world / "deidentified/medsem").to_pylist()
    for row in rows:
        row["wrong"] = None
    shards.write_shards(pa.Table.from_pylist(rows), world / "deidentified/medsem", shard_rows=6)
    found = grid(page_of(world, tmp_path), "passwords")
    assert found["X_wrong, wrong password"] == []
    assert len(found["X_hat, right password"]) == 8


def test_an_empty_val_gives_a_page_all_the_same(root: Path, tmp_path: Path) -> None:
    world = copied(root, tmp_path / "world")
    shards.write_shards(schemas.MEMA.empty_table(), world / "mema/val", shard_rows=5)
    assert pictures(page_of(world, tmp_path)) == []
