"""The page of a flow shows what that flow made, as Markdown."""

import base64
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from mema.project import summary
from mema.runtime import shards
from models.images import encode_png

METRICS = Path(__file__).parents[3] / "data/metrics"


def test_each_flow_shows_its_own_tables_and_no_others(tmp_path: Path) -> None:
    shutil.copytree(METRICS, tmp_path / "metrics")
    made, hidden = "\n".join(summary.synthesize(tmp_path)), "\n".join(summary.deidentify(tmp_path))
    assert "## Table 1:" in made
    assert "## Table 2:" in made
    assert "Tables 3" not in made
    assert "| average | " in made
    assert "## Tables 3 and 5:" in hidden
    assert "| medsem | " in hidden
    assert "## Table 1:" not in hidden


def test_the_sheet_is_of_the_selected_images(tmp_path: Path) -> None:
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    images = [np.full((32, 32, 3), colour, np.uint8) for colour in colours]
    table = pa.table({"image": [encode_png(image) for image in images]})
    shards.write_shards(table, tmp_path / "selected", shard_rows=2)
    (line,) = [line for line in summary.synthesize(tmp_path) if line.startswith("![")]
    data = base64.b64decode(line.partition("base64,")[2].rstrip(")"))
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert sheet.shape == (32, 32 * summary.COLUMNS, 3)
    for place, colour in enumerate(colours):
        assert np.abs(sheet[16, 32 * place + 16].astype(int) - colour).max() < 12


def test_nothing_made_yet_is_an_empty_page(tmp_path: Path) -> None:
    assert [*summary.synthesize(tmp_path), *summary.deidentify(tmp_path)] == []
