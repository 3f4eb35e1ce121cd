"""The readers' page from a set that simulated readers read: what it shows, and what it never shows."""

import base64
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from mema.params.annotate import Annotations
from mema.runtime import durable, shards
from models.diseases import DISEASE_NAMES
from models.report.readers.page import CONTENTS
from tasks import schemas
from tasks.annotate import annotations, assemble, report_readers
from tests.worlds.readers import parameters, simulate, write_selection

URI = re.compile(r'"data:image/\w+;base64,([^"]+)"')
FIRST_MASKS = {"n": 80, "proposed": 60, "share": 0.75, "ci95": [0.64, 0.83], "mean_score": 0.8}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report_readers")
    write_selection(root)
    simulate(root)
    selected, metrics, said = root / "selected", root / "metrics", root / "annotations"
    annotations.run(
        selected, root / "subset.parquet", root / "exports", said, metrics / "annotations.json",
        Annotations(max_unusable=0.0, allow_incomplete=False),
    )  # fmt: skip
    params = parameters(num_seg_train=20, num_seg_val=3, max_deviation=1.0, bootstrap=50)
    assemble.run(
        selected, said, root / "mema", root / "mema_seg", metrics / "readers.json", metrics / "assemble.json", params
    )
    durable.write_json(metrics / "prelabel.json", {"first_masks": FIRST_MASKS})
    return root


def page_of(root: Path, out: Path, *, num_examples: int = 3, title: str = "T") -> str:
    report_readers.run(
        root / "metrics", root / "mema", root / "mema_seg", out / "index.html",
        title=title, profile="phantom", num_examples=num_examples,
    )  # fmt: skip
    return (out / "index.html").read_text()


def pictures(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in URI.findall(html)]


def section_of(html: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}".*?</section>', html, re.DOTALL)
    assert found
    return found.group()


def images_in(folder: Path) -> set[bytes]:
    return set(shards.read_table(folder, columns=["image"])["image"].to_pylist())


def linked(root: Path, out: Path, *names: str) -> Path:
    """Return a copy of the world by links, but for `names`."""
    out.mkdir(exist_ok=True)
    for name in {"metrics", "mema", "mema_seg"} - set(names):
        (out / name).symlink_to(root / name)
    return out


def test_every_section_stands_once_with_its_pictures(root: Path, tmp_path: Path) -> None:
    page = page_of(root, tmp_path)
    assert re.findall(r'<section id="(\w+)"', page) == list(CONTENTS)
    assert len(pictures(section_of(page, "examples"))) == 8 * 3
    assert len(pictures(section_of(page, "disputed"))) == report_readers.NUM_DISPUTED
    assert set(pictures(section_of(page, "seg"))) == images_in(root / "mema_seg/train")
    assert section_of(page, "seg").count('class="edge"') == 20
    assert page.count("<img ") + page.count("<image ") == len(pictures(page))


def test_only_train_is_shown(root: Path, tmp_path: Path) -> None:
    shown = set(pictures(page_of(root, tmp_path)))
    assert shown <= images_in(root / "mema/train")
    assert not shown & (images_in(root / "mema/select") | images_in(root / "mema/val"))


def test_examples_stand_under_their_adjudicated_disease(root: Path, tmp_path: Path) -> None:
    rows = {row["image"]: row for row in shards.read_table(root / "mema/train").to_pylist()}
    examples = section_of(page_of(root, tmp_path), "examples")
    parts = re.split(r"<h3>([^<]+)</h3>", examples)[1:]
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        found = [rows[image] for image in pictures(part)]
        assert {f"generated face: {name}" for _ in found} == {
            alt.partition(",")[0] for alt in re.findall(r'alt="([^"]+)"', part)
        }
        assert len({row["disease"] for row in found}) == 1
        if found[0]["disease"] != "normal":
            assert len({row["severity"] for row in found}) == 3


def test_unanimous_examples_come_first_and_another_plan_is_named(root: Path, tmp_path: Path) -> None:
    rows = shards.read_table(root / "mema/train").to_pylist()
    examples = section_of(page_of(root, tmp_path, num_examples=12), "examples")
    parts = re.split(r"<h3>([^<]+)</h3>", examples)[1:]
    by_image, named = {row["image"]: row for row in rows}, 0
    for part in parts[1::2]:
        cases = [case for case in part.split("<figure") if "<img" in case]
        found = [by_image[pictures(case)[0]] for case in cases]
        agreed = [row["decided_by"] == "unanimous" for row in found]
        assert agreed == sorted(agreed, reverse=True)
        available = sum(r["decided_by"] == "unanimous" and r["disease"] == found[0]["disease"] for r in rows)
        assert sum(agreed) == min(12, available)
        for case, row in zip(cases, found, strict=True):
            other = row["planned_disease"] != row["disease"]
            assert (f"planned: {DISEASE_NAMES[row['planned_disease']]}" in case) == other
            named += other
    assert named


def test_disputed_images_carry_their_votes_and_the_senior_ones_come_first(root: Path, tmp_path: Path) -> None:
    rows = {row["image"]: row for row in shards.read_table(root / "mema/train").to_pylist()}
    page = section_of(page_of(root, tmp_path), "disputed")
    cases = [part for part in page.split("<figure") if "<img" in part]
    for case in cases:
        row = rows[pictures(case)[0]]
        assert row["decided_by"] != "unanimous"
        said = re.findall(r"<li[^>]*>(\w+): ([^<]+)</li>", case)
        assert [reader for reader, _ in said] == [vote["reader"] for vote in row["votes"]]
        assert [words == "low quality" for _, words in said] == [v["quality"] == "low" for v in row["votes"]]
    by = ["by the senior" in case for case in cases]
    assert by == sorted(by, reverse=True)
    assert any(by)


def test_the_page_is_self_contained_small_and_names_nobody(root: Path, tmp_path: Path) -> None:
    page = URI.sub('""', page_of(root, tmp_path, num_examples=6))
    assert not re.search(r"https?:|//|<script|<link|@import|url\(|<iframe", page)
    assert (tmp_path / "index.html").stat().st_size < 4e6
    table = shards.read_table(root / "mema/train", columns=["image_id", "donor_pseudonym"])
    assert not [name for name in table["image_id"].to_pylist() if name[:8] in page]
    assert not [name for name in table["donor_pseudonym"].to_pylist() if name[:8] in page]
    assert "donor_" not in page
    assert "simulated.invalid" not in page
    assert set(re.findall(r"reader_\w+", page)) == {"reader_1", "reader_2", "reader_3"}


def test_the_figures_are_those_of_the_metrics(root: Path, tmp_path: Path) -> None:
    page = page_of(root, tmp_path)
    found = {path.stem: json.loads(path.read_text()) for path in (root / "metrics").glob("*.json")}
    overall = found["readers"]["fleiss"]["overall"]
    agreement = section_of(page, "agreement")
    label = "{:.2f}, {:.2f} to {:.2f}, expected {:.2f}".format(overall["value"], *overall["ci95"], overall["expected"])
    assert f'aria-label="{label}"' in agreement
    assert f"{sum(found['assemble']['mema']['images'].values())} labelled faces" in page
    assert f">{found['annotations']['masks']['machine_edited']}</td>" in section_of(page, "outlines")
    assert "The readers were simulated" in page


def test_equal_inputs_give_equal_bytes(root: Path, tmp_path: Path) -> None:
    assert page_of(root, tmp_path / "a") == page_of(root, tmp_path / "b")


@pytest.mark.parametrize(
    ("missing", "stage"),
    [("prelabel", "prelabel"), ("annotations", "annotations"), ("readers", "assemble"), ("assemble", "assemble")],
)
def test_missing_metrics_name_the_stage_to_run(root: Path, tmp_path: Path, missing: str, stage: str) -> None:
    world = linked(root, tmp_path, "metrics")
    for name in report_readers.METRICS.keys() - {missing}:
        (world / "metrics").mkdir(exist_ok=True)
        (world / f"metrics/{name}.json").symlink_to(root / f"metrics/{name}.json")
    with pytest.raises(ValueError, match=rf"{missing}\.json: not found; .*\(dvc repro {stage}\)"):
        page_of(world, tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_a_reader_by_name_is_refused(root: Path, tmp_path: Path) -> None:
    world = linked(root, tmp_path / "metrics_named", "metrics")
    for name in report_readers.METRICS:
        text = (root / f"metrics/{name}.json").read_text().replace("reader_2", "dr_bo")
        durable.write_text(world / f"metrics/{name}.json", text)
    with pytest.raises(ValueError, match=r"readers\.json: reader 'dr_bo'; allowed on the page: reader_1"):
        page_of(world, tmp_path)
    world = linked(root, tmp_path / "votes_named", "mema")
    rows = shards.read_table(root / "mema/train").to_pylist()
    rows[5]["votes"][0]["reader"] = "dr_bo"
    shards.write_table(world / "mema/train/a.parquet", pa.Table.from_pylist(rows, schema=schemas.MEMA))
    with pytest.raises(ValueError, match=r"mema/train: reader 'dr_bo'"):
        page_of(world, tmp_path)


def test_empty_sets_give_a_page_all_the_same(root: Path, tmp_path: Path) -> None:
    world = linked(root, tmp_path, "mema", "mema_seg")
    for name, schema in (("mema", schemas.MEMA), ("mema_seg", schemas.MEMA_SEG)):
        shards.write_table(world / name / "train/a.parquet", schema.empty_table())
    page = page_of(world, tmp_path)
    assert pictures(page) == []
    assert section_of(page, "examples").count("in train.</p>") == 8
    assert "MeMa-Seg is empty" in page


def test_chosen_rows_take_turns_and_spread() -> None:
    assert report_readers.in_turn({"a": [1, 2, 3], "b": [4], "c": [9]}, ("b", "a"), 3) == [4, 1, 2]
    assert report_readers.choose_spread(100, 3) == [0, 50, 99]
    assert report_readers.choose_spread(2, 5) == [0, 1]
    assert report_readers.choose_spread(0, 5) == []


def test_who_is_disputed() -> None:
    def row(*votes: tuple[str, str, str]) -> dict:
        return {"votes": [dict(zip(("reader", "disease", "quality"), vote, strict=True)) for vote in votes]}

    agreed = [("reader_1", "bcc", "usable"), ("reader_2", "bcc", "usable")]
    assert not report_readers.is_disputed(row(*agreed))
    assert not report_readers.is_disputed(row(*agreed, ("senior", "scc", "usable")))
    assert report_readers.is_disputed(row(*agreed, ("reader_3", "scc", "usable")))
    assert report_readers.is_disputed(row(*agreed, ("reader_3", "bcc", "low")))
