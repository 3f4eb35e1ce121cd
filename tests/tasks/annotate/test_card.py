"""What a researcher gets from the released folders: all splits and rows, pictures, labels, words for each column."""

import io
import re
import shutil
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml
from PIL.Image import Image

from mema.params.annotate import Annotations
from mema.runtime import shards
from models.diseases import DISEASES
from models.segmentation.masks import decode_mask
from tasks import schemas
from tasks.annotate import annotations, assemble, card
from tests.worlds.readers import SIZE, parameters, simulate, write_selection

SPLITS = {"mema": ["train", "select", "val"], "mema_seg": ["train", "val"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of both released sets, made by the stage."""
    root = tmp_path_factory.mktemp("card")
    write_selection(root)
    simulate(root)
    selected, said = root / "selected", root / "annotations"
    annotations.run(
        selected, root / "subset.parquet", root / "exports", said, root / "annotations.json",
        Annotations(max_unusable=0.0, allow_incomplete=False),
    )  # fmt: skip
    params = parameters(num_seg_train=20, num_seg_val=2, max_deviation=1.0, bootstrap=20)
    sets = (root / "data/mema", root / "data/mema_seg")
    assemble.run(selected, said, *sets, root / "readers.json", root / "assemble.json", params)
    return root / "data"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def rows_in(folder: Path) -> int:
    return sum(pq.ParquetFile(file).metadata.num_rows for file in folder.rglob("*.parquet"))


@pytest.mark.parametrize("name", SPLITS)
def test_a_folder_gives_every_split_and_row_with_pictures_and_labels(data: Path, name: str) -> None:
    found = datasets.load_dataset(str(data / name))
    assert list(found) == SPLITS[name]
    assert {split: part.num_rows for split, part in found.items()} == {
        split: rows_in(data / name / split) for split in SPLITS[name]
    }
    assert sum(part.num_rows for part in found.values()) == rows_in(data / name) > 20
    stages = {
        row["image_id"]: row for split in SPLITS[name] for row in shards.read_table(data / name / split).to_pylist()
    }
    for split, part in found.items():
        assert part.features["disease"] == part.features["planned_disease"] == datasets.ClassLabel(names=list(DISEASES))
        assert part.features["image"] == part.features["mask"] == datasets.Image()
        rows: Iterable[dict[str, Any]] = part  # type: ignore[assignment]
        for row in rows:
            stage = stages[row["image_id"]]
            assert isinstance(row["image"], Image)
            assert (row["image"].size, row["image"].mode) == ((SIZE, SIZE), "RGB")
            assert DISEASES[row["disease"]] == stage["disease"]
            assert (row["mask"] is None) == (stage["mask"] is None)
            if row["mask"] is not None:
                assert (row["mask"].size, row["mask"].mode) == ((SIZE, SIZE), "L")
                assert {value for _, value in row["mask"].getcolors()} == {0, 255}
                assert decode_mask(stage["mask"]).sum() == row["mask"].histogram()[255]
        assert split == "select" or any(row["mask"] is not None for row in rows)


def test_the_card_is_what_finds_the_split_called_select(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "mema", tmp_path / "mema")
    (tmp_path / "mema/README.md").unlink()
    assert "select" not in datasets.load_dataset(str(tmp_path / "mema"))


@pytest.mark.parametrize("name", SPLITS)
def test_the_parquet_files_alone_restore_the_features(data: Path, name: str) -> None:
    files = {split: str(data / name / split / "*.parquet") for split in SPLITS[name]}
    alone = datasets.load_dataset("parquet", data_files=files)
    assert {split: part.features for split, part in alone.items()} == {
        split: part.features for split, part in datasets.load_dataset(str(data / name)).items()
    }
    assert isinstance(alone["train"][0]["image"], Image)


@pytest.mark.parametrize(("name", "schema"), [("mema", schemas.MEMA), ("mema_seg", schemas.MEMA_SEG)])
def test_every_column_is_described_in_the_card_and_in_the_data(data: Path, name: str, schema) -> None:
    text = (data / name / "README.md").read_text()
    found = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))
    stored = pq.read_schema(next((data / name).rglob("*.parquet")))
    assert [column for column in found if "[]" not in column] == stored.names == schema.names
    for field in stored:
        assert len(schemas.meaning(field)) > 15
        assert found[field.name] == schemas.meaning(field)
    if name == "mema":
        inner = {field.name for field in schema.field("votes").type.value_type}
        assert {column for column in found if "[]" in column} == {f"votes[].{each}" for each in inner}


@pytest.mark.parametrize("name", SPLITS)
def test_the_first_code_block_runs(data: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    code = re.search(r"```python\n(.*?)```", (data / name / "README.md").read_text(), re.DOTALL)
    assert code
    said = io.StringIO()
    with redirect_stdout(said):
        exec(code.group(1), {})
    assert f"num_rows: {rows_in(data / name / 'train')}" in said.getvalue()
    assert any(disease in said.getvalue() for disease in DISEASES)


def test_counts_of_the_card_are_those_of_the_data(data: Path) -> None:
    text = (data / "mema/README.md").read_text()
    lines = {
        cells[0]: list(map(int, cells[1:]))
        for cells in re.findall(r"^\| ([a-z ]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    }
    rows = [row for split in SPLITS["mema"] for row in shards.read_table(data / "mema" / split).to_pylist()]
    for code, name in card.DISEASE_NAMES.items():
        here = [sum(row["disease"] == code and row["split"] == split for row in rows) for split in SPLITS["mema"]]
        assert lines[name] == [*here, sum(here)]
    assert lines["all"][-1] == len(rows)
    differ = sum(row["disease"] != row["planned_disease"] for row in rows)
    assert differ > 5
    assert f"{differ} of {len(rows)} labels differ" in text


@pytest.mark.parametrize("name", SPLITS)
def test_the_card_says_what_it_must(data: Path, name: str) -> None:
    text = (data / name / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "unknown"
    assert "synthetic" in head["tags"]
    for said in ("Synthetic data", f"{SIZE} x {SIZE} px", "version 1.0.0", "readers were simulated",
                 "Licence: not chosen yet", "Terms: not chosen",
                 "Medical Manifestation-Aware De-Identification", "## What it is not", "## Known limits",
                 "Not proven anonymous"):  # fmt: skip
        assert said in text, said
    assert "More Information Needed" not in text
    assert not re.search(r"\bNone\b|\bnan\b|\{|\}\}", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL))


def test_the_hospital_chooses_licence_and_terms(data: Path) -> None:
    found = {
        "source": "label_studio", "selected": 9, "excluded": {"low_quality": 1}, "decided_by": {"senior": 8},
        "mema": {"classes": {}, "images": {"train": 8}, "differ_from_plan": {"train": 1}, "image_size_px": [8, 9]},
        "masks": {},
        "mema_seg": {"disease": "bcc", "consensus": "majority", "train": {"images": 0}, "val": {"images": 0}},
    }  # fmt: skip
    release = parameters().release.model_copy(update={"licence": "cc-by-nc-sa-4.0", "terms": "signed agreement only"})
    for text in (card.mema_card(found, release, "paper"), card.mema_seg_card(found, release, "paper")):
        assert "Licence: cc-by-nc-sa-4.0." in text
        assert "Terms: signed agreement only." in text
        assert yaml.safe_load(text.split("---\n")[1])["license"] == "cc-by-nc-sa-4.0"
        assert "simulated by a program" not in text
        assert "Phantoms" not in text
