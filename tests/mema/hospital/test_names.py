"""Whatever photos are called: each gets a picture of its own or a reason, and its name back."""

import os
import unicodedata
from pathlib import Path

import pytest

from mema.hospital.places import halves, path_of, photo_name, picture_name, sidecar_of
from models.photos.listing import name_of
from tests.mema.hospital.workspace import encoded, mema, rejected, smooth

ODD = (
    "IMG_1.JPG",
    "IMG_1.png",
    "1.2.840.113619.2.55.3",
    "2024.05.12",
    "a",
    "A.jpg",
    "a.jpg",
    "a.jpg.png",
    unicodedata.normalize("NFC", "Größe.jpg"),
    unicodedata.normalize("NFD", "Größe.jpg"),
    "=cmd|' ! .png",
    "with blank and\nline.jpg",
    "back\\slash.jpg",
    os.fsdecode(b"latin-\xfc.jpg"),
    "x.png.mema",
)


def write(folder: Path, names: tuple[str, ...], **options: object) -> None:
    for number, name in enumerate(names):
        (folder / name).write_bytes(encoded(smooth(number), "PNG", **options))


@pytest.mark.slow
def test_every_name_goes_there_and_back(hospital):
    write(hospital.photos, ODD)
    (hospital.photos / "IMG_1.json").write_text("{}")
    result = hospital.deid("--keep-original")
    assert result.exit_code == 0, (result.output, rejected(hospital.photos))
    assert f"{len(ODD)} files: {len(ODD)} de-identified" in result.output
    assert "beside them 1 that are no photos: text 1" in result.output
    assert {path.name for path in hospital.out.iterdir()} == {
        name + ending for name in ODD for ending in (".png", ".png.mema")
    }
    assert mema("restore", hospital.out, "back", "--key-file", hospital.key, "--exact").exit_code == 0
    assert {path.name: path.read_bytes() for path in Path("back").iterdir()} == {
        path.name: path.read_bytes() for path in hospital.photos.iterdir() if path.suffix != ".json"
    }


def test_a_name_is_written_so_that_it_can_be_read_again():
    for name in ODD:
        assert path_of(name_of(name)) == name


def test_names_too_long_are_a_reason_and_the_run_goes_on(hospital):
    names = ("b" * 242 + ".png", "c" * 247 + ".png", "d" * 251 + ".png", "z.png")
    write(hospital.photos, names)
    result = hospital.deid()
    assert result.exit_code == 1
    assert "4 files: 2 de-identified (2 faces), 2 failed: name_too_long 2" in result.output
    assert rejected(hospital.photos) == {name: "name_too_long" for name in names[1:3]}
    (account,) = Path().rglob("report.csv")
    assert account.read_text().count('"name_too_long"') == 2
    assert not [path for path in hospital.out.iterdir() if path.name.startswith((".", "c", "d"))]


def test_a_photo_of_the_name_of_a_folder_of_pictures_is_told(hospital):
    (hospital.photos / "a.jpg.png").mkdir()
    write(hospital.photos, ("a.jpg", "a.jpg.png/b.jpg", "z.jpg"))
    assert hospital.deid().exit_code == 1
    assert set(rejected(hospital.photos).values()) <= {"out_exists", "link_in_out"}
    assert len(rejected(hospital.photos)) == 1
    assert len(list(hospital.out.rglob("*.mema"))) >= 2


@pytest.mark.parametrize(
    ("picture", "sealed", "suffix", "photo"),
    [
        ("IMG_1.JPG.png", "IMG_1.JPG", ".jpg", "IMG_1.JPG"),
        ("a.png.png", "a.png", ".png", "a.png"),
        ("IMG_1.png", "", ".jpg", "IMG_1.jpg"),  # an earlier version's
        ("x.jpg.png", "", ".jpg", "x.jpg.jpg"),  # likewise
        ("2024.05.12.png", "", ".jpeg", "2024.05.12.jpeg"),
        ("case-7.png", "Anna Miller.JPG", ".jpg", "case-7.jpg"),  # renamed since
        ("case-7.jpg.png", "Anna Miller.JPG", ".jpg", "case-7.jpg"),
        ("../evil.png", "../../evil", ".sh", "../evil.sh"),
        ("scan.png", "scan", "", "scan"),
    ],
)
def test_the_photo_s_name_comes_back(picture, sealed, suffix, photo):
    assert photo_name(picture, sealed, suffix) == photo


def test_two_originals_of_one_name_do_not_replace_one_another(hospital):
    write(hospital.photos, ("a.jpg", "b.jpg"))
    assert hospital.deid("--keep-original").exit_code == 0
    for old, new in (("b.jpg.png", "a.png"), ("b.jpg.png.mema", "a.png.mema")):
        (hospital.out / old).rename(hospital.out / new)
    result = mema("restore", hospital.out, "back", "--key-file", hospital.key, "--exact")
    assert result.exit_code == 1
    assert rejected(Path("back"), "restore") in ({"a.png": "out_exists"}, {"a.jpg.png": "out_exists"})
    assert [path.name for path in Path("back").iterdir()] == ["a.jpg"]


def test_both_sides_are_accounted_for(hospital):
    write(hospital.photos, ("a.jpg", "b.jpg", "c.jpg"))
    assert hospital.deid().exit_code == 0
    sidecar_of(hospital.out / "a.jpg.png").unlink()
    (hospital.out / "b.jpg.png").unlink()
    lost = {"a.jpg.png": "no_sidecar", "b.jpg.png.mema": "sidecar_without_picture"}
    assert {name: reason for name, reason, _ in halves(hospital.out)} == lost
    result = mema("restore", hospital.out, "back", "--key-file", hospital.key)
    assert result.exit_code == 1
    assert "3 files: 1 restored (1 faces), 2 failed: no_sidecar 1, sidecar_without_picture 1" in result.output
    assert rejected(Path("back"), "restore") == lost
    for path in hospital.photos.iterdir():
        path.unlink()
    write(hospital.photos, ("d.jpg",))
    result = hospital.deid()
    assert result.exit_code == 1
    assert rejected(hospital.photos) == lost


def test_what_may_not_be_read_is_told(hospital):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (hospital.photos / "closed").mkdir()
    write(hospital.photos, ("a.jpg", "closed/b.jpg"))
    (hospital.photos / "closed").chmod(0)
    result = hospital.deid()
    (hospital.photos / "closed").chmod(0o700)
    assert result.exit_code == 1
    assert rejected(hospital.photos) == {"closed": "unreadable_folder"}


def test_no_cell_of_the_quarantine_is_a_formula(hospital):
    names = ("=1+1.png", "+1.png", "-1.png", "@x.png", "  =2.png", "\uff1d3.png", "plain.png")
    for name in names:
        (hospital.photos / name).write_bytes(b"no picture")
    (hospital.photos / "plain.png").rename(hospital.photos / "plain")
    assert hospital.deid().exit_code == 1
    cells = list(rejected(hospital.photos))
    assert "plain" in cells
    assert not [cell for cell in cells if cell.strip()[0] in "=+-@\uff1d"]
    assert picture_name("=1") == "=1.png"
