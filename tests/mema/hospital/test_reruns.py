"""What a second run finds in OUT, and what lies beside it, is not trusted for its name."""

import os
import shutil
from pathlib import Path

import pytest

from mema.hospital.outcome import table
from mema.hospital.places import zone
from mema.hospital.settings import load_settings
from tests.mema.hospital.workspace import encoded, mema, rejected, smooth


@pytest.mark.parametrize("how", ["copied", "linked"])
def test_a_photo_under_the_name_of_its_picture_is_not_done_before(hospital, how):
    photo, picture = hospital.photos / "a.png", hospital.out / "a.png.png"
    photo.write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    made = picture.read_bytes()
    picture.unlink()
    if how == "copied":
        shutil.copy(photo, picture)
    else:
        picture.symlink_to(photo.resolve())
    assert hospital.deid().exit_code == 1
    assert set(rejected(hospital.photos)) == {"a.png"}
    picture.unlink()
    assert hospital.deid().exit_code == 0
    assert picture.read_bytes() == made


def test_the_number_of_faces_is_asked_of_photos_that_were_done_before_as_well(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    assert hospital.deid("--expect-faces", "1").exit_code == 0
    assert hospital.deid("--expect-faces", "3").exit_code == 1
    assert rejected(hospital.photos) == {"a.png": "unexpected_faces"}


def test_a_report_folder_that_leads_into_out_is_refused(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    hospital.out.mkdir()
    zone("", "deid", hospital.photos).symlink_to(hospital.out.resolve())
    assert hospital.deid().exit_code == 2
    assert not list(hospital.out.iterdir())


def test_a_single_photo_whose_name_is_no_text_has_its_account(hospital):
    photo = hospital.photos / os.fsdecode(b"a\xff.png")
    photo.write_bytes(encoded(smooth(1)))
    assert mema("deid", photo, "x.png", "--key-file", hospital.key, "--aligned").exit_code == 0
    (table_file,) = Path().rglob("report.csv")
    assert "a\\xff.png" in table_file.read_text()


def test_no_cell_is_parted_where_semicolons_part_cells():
    text = table(("file",), [("a;=1+1.png",), ('b";=1+1.png',)])
    assert [line[:1] + line[-1:] for line in text.splitlines()] == ['""'] * 3


@pytest.mark.parametrize("text", ["deid_files: [", "- 1", "text", ""])
def test_settings_that_are_no_mapping_are_told_in_one_line(hospital, text):
    Path("params.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"params\.yaml"):
        load_settings()
    result = mema("deid", hospital.photos, hospital.out, "--key-file", hospital.key)
    assert result.exit_code == 2
    assert result.output.startswith("error: params.yaml")


@pytest.mark.parametrize("what", ["bytes", "long", "link", "folder"])
def test_a_table_that_is_none_of_ours_is_told_in_one_line(hospital, what):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    path = zone("", "deid", hospital.photos) / "report.csv"
    path.parent.mkdir()
    if what == "link":
        path.symlink_to("elsewhere")
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe" if what == "bytes" else b"file\n" + b"x" * 200_000)
    result = hospital.deid()
    assert result.exit_code == 2
    assert "report.csv: is no table that this command wrote; move it away" in result.output
    assert not hospital.out.exists()


def test_a_table_with_rows_cut_short_is_made_anew(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    path = zone("", "deid", hospital.photos) / "report.csv"
    path.write_text(path.read_text().splitlines()[0] + "\nabc\n")
    assert hospital.deid().exit_code == 0
    assert "a.png" in path.read_text()
