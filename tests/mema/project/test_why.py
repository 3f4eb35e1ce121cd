"""`mema why`: the reasons of both kinds of quarantine, in words."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mema.hospital.outcome import HEADER, table
from mema.project import why as quarantine
from models.photos.rejection import Rejection
from models.reasons import REASONS, read_out
from tasks import schemas

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    row = {"file": "photos/A 1.JPG", "row": 3, "line": 7, "reason": "missing_consent", "detail": 'found "?"'}
    Path("data/patients").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row], schema=schemas.QUARANTINE), "data/patients/quarantine.parquet")
    Path("reports/run").mkdir(parents=True)
    rows = [("b.png", "face_left", ""), ("c.png", "of_last_year", "")]
    Path("reports/run/quarantine.csv").write_text(table(HEADER, rows))
    return tmp_path


def test_a_photo_is_found_by_a_part_of_its_path(checkout):
    (row,) = quarantine.why("a 1", Path("reports"))
    said = row.said()
    assert said.startswith("photos/A 1.JPG, line 7 of the table: missing_consent\n  the row says neither yes nor no")
    assert 'found: found "?"' in said


def test_both_kinds_of_quarantine_are_read_and_an_old_reason_does_not_stop(checkout):
    rows = quarantine.why("", Path("reports"))
    assert [row.file for row in rows] == ["photos/A 1.JPG", "b.png", "c.png"]
    assert "a face was still found on the result" in rows[1].said()
    assert "a reason of an earlier version" in rows[2].said()
    assert quarantine.why("nobody", Path("reports")) == []


def test_a_reason_that_nobody_explained_cannot_be_given():
    with pytest.raises(AssertionError, match=r"of_mine: not in models/reasons\.py"):
        Rejection("of_mine")
    assert all(read_out(reason) for reason in REASONS)


def test_each_reason_is_one_that_the_code_gives():
    files = [file for folder in ("models", "mema", "tasks") for file in (ROOT / folder).rglob("*.py")]
    code = "\n".join(file.read_text() for file in files if file.name != "reasons.py")
    assert [reason for reason in REASONS if f'"{reason}"' not in code] == []
