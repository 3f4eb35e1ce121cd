"""One picture has one patient, whoever's rows name it; every entry of the folder is accounted for."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from PIL import Image

from mema.params.synthesize import IngestPatients
from mema.runtime import shards
from models.photos.listing import list_folder
from tasks.synthesize import ingest_patients
from tasks.synthesize.ingest_identity import Resolver
from tests.tasks.synthesize.test_bad_inputs import HEADER, ROW, SECTION, encoded, picture


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/photos").mkdir(parents=True)
    return tmp_path / "raw"


def row(patient: str, file: str, consent: str = "yes", code: str = "H10.1,Conjunctivitis") -> str:
    named = ROW.replace("p1", patient).replace("yes", consent).replace("H10.1,Conjunctivitis", code)
    return named.replace(",40,F,", ",,,").format(file=file)


def outcome(hospital: Path, photos: dict[str, bytes], rows: list[str]) -> tuple[dict[str, str], dict[str, str], dict]:
    """Ingest; return who each kept photo belongs to, the reason of each other one, and the metrics."""
    for name, data in ({"other.png": encoded(picture(77))} | photos).items():
        (hospital / "photos" / name).write_bytes(data)
    table = [HEADER, row("p0", "other.png"), *rows]
    (hospital / "records.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    out = hospital.parent
    ingest_patients.run(hospital, out / "faces", out / "q", out / "m.json", IngestPatients.model_validate(SECTION))
    kept = {face["file"].removeprefix("photos/"): face["patient_id"]
            for face in shards.read_table(out / "faces", columns=["file", "patient_id"]).to_pylist()}  # fmt: skip
    assert kept.pop("other.png") == "p0"
    why = {row["file"].removeprefix("photos/"): row["reason"] for row in shards.read_table(out / "q").to_pylist()}
    metrics = json.loads((out / "m.json").read_text())
    assert metrics["in"] == metrics["kept"] + metrics["quarantined"]
    return kept, why, metrics


def turned(image: Image.Image) -> bytes:
    """The picture stored on its side, with the orientation that brings it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.rotate(90, expand=True), "PNG", exif=exif)


COPIES = {
    "equal bytes": lambda image: encoded(image),
    "another container": lambda image: encoded(image, "BMP"),
    "another compression": lambda image: encoded(image, "PNG", compress_level=1),
    "turned by EXIF": turned,
    "JPEG": lambda image: encoded(image, "JPEG", quality=60),
    "smaller": lambda image: encoded(image.resize((70, 70)), "WEBP"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_one_picture_under_two_patients_is_nobodys(hospital, kind):
    photos = {"a.png": encoded(picture(1)), "b.png": COPIES[kind](picture(1)), "c.png": encoded(picture(2))}
    kept, why, metrics = outcome(hospital, photos, [row("p1", "a.png"), row("p2", "b.png"), row("p3", "c.png")])
    assert kept == {"c.png": "p3"}
    assert why == dict.fromkeys(("a.png", "b.png"), "same_picture_two_patients")
    assert metrics["reasons"] == {"same_picture_two_patients": 2}


@pytest.mark.parametrize("kind", COPIES)
def test_a_refusal_reaches_the_picture_in_every_file(hospital, kind):
    photos = {"a.png": encoded(picture(1)), "b.png": COPIES[kind](picture(1))}
    kept, why, _ = outcome(hospital, photos, [row("p1", "a.png"), row("p2", "b.png", "withdrawn")])
    assert (kept, why) == ({}, {"a.png": "consent_refused_elsewhere", "b.png": "consent_refused"})


def test_one_picture_with_two_diagnoses_is_out_and_a_copy_that_agrees_is_flagged(hospital):
    photos = {name: encoded(picture(1 + (name > "b"))) for name in ("a.png", "b.png", "c.png", "d.png")}
    rows = [row("p1", "a.png"), row("p1", "b.png", code="H20.0,Uveitis"), row("p1", "c.png"), row("p1", "d.png")]
    kept, why, metrics = outcome(hospital, photos | {"b.png": photos["a.png"]}, rows)
    assert kept == {"c.png": "p1", "d.png": "p1"}
    assert why == dict.fromkeys(("a.png", "b.png"), "same_picture_two_diagnoses")
    assert metrics["flags"] == {"exact_duplicate": 1}


@pytest.mark.parametrize("spelling", [
    "photos/a.png", "a.png", "./photos/a.png", "photos\\a.png", "PHOTOS/A.PNG", "photos/x/../a.png", "photos%2Fa.png",
    "C:\\Export\\photos\\a.png", "/srv/photos/a.png", "../raw/photos/a.png", "a", "photos/a.jpeg", "a.png; b.png",
])  # fmt: skip
def test_a_refusal_reaches_the_photo_by_every_spelling_of_its_path(hospital, spelling):
    refusal = row("p2", "X", "no").replace("photos/X", f'"{spelling}"')
    kept, why, _ = outcome(hospital, {"a.png": encoded(picture(1))}, [row("p1", "a.png"), refusal])
    assert kept == {}
    assert why["a.png"] in ("consent_refused_elsewhere", "consent_refused")


def test_another_folders_photo_of_that_name_is_not_meant(tmp_path):
    for name in ("photos/p1/front.png", "photos/p2/front.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(encoded(picture(1)))
    resolve = Resolver(list_folder(tmp_path, "photos/**/*"), tmp_path, "photos/**/*")
    assert resolve("photos/p3/front.png").claims == frozenset()
    assert resolve("p1/front.png").name == "photos/p1/front.png"
    assert (resolve("front.png").name, len(resolve("front.png").claims)) == ("", 2)
    assert resolve(f"{tmp_path}/photos/p1/front.png").name == "photos/p1/front.png"
    assert resolve("x" * 5000).reason == "file_missing"


def test_names_that_differ_in_unicode_form_alone_are_both_counted(hospital):
    composed, split = (unicodedata.normalize(form, "Zoë.png") for form in ("NFC", "NFD"))
    photos = {composed: encoded(picture(1)), split: encoded(picture(2)), "late.png": encoded(picture(3))}
    kept, why, metrics = outcome(hospital, photos, [row("p1", composed), row("p2", "LATE.PNG")])
    assert kept == {"late.png": "p2"}
    assert {composed, split} <= set(why)
    assert metrics["reasons"] == {"ambiguous_file_name": 2}  # one photo by its row, the other by itself


def test_files_that_are_no_photos_are_counted_apart(hospital):
    (hospital / "photos/a.json").write_text("{}")
    (hospital / "photos/Thumbs.db").write_bytes(b"\xd0\xcf")
    (hospital / "photos/empty.jpg").touch()
    kept, why, metrics = outcome(hospital, {}, [row("p1", "empty.jpg"), row("p2", "a.json")])
    assert (kept, why) == ({}, {"empty.jpg": "empty_file", "a.json": "not_an_image"})
    assert metrics["other_files"] == {"empty": 1, "system": 1, "text": 1}


def test_a_folder_that_cannot_be_listed_ends_the_stage_after_its_account(hospital, monkeypatch):
    (hospital / "photos/closed").mkdir()
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "closed")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(ValueError, match="1 folders could not be listed"):
        outcome(hospital, {}, [])
    assert json.loads((hospital.parent / "m.json").read_text())["reasons"] == {"unreadable_folder": 1}


def test_the_account_tells_columns_and_what_was_not_understood_and_no_patient(hospital, caplog):
    caplog.set_level("INFO")
    header = HEADER.replace("sex", "Geschlecht").replace("eye", "Huber Anna")
    rows = [row("p1", "a.png").replace(",,,yes", ",,Q,yes"), row("MRN-7781", "b.png")]
    (hospital / "photos/a.png").write_bytes(encoded(picture(1)))
    (hospital / "records.csv").write_text("\n".join([header + ",MRN-7781,weight", *(r + ",x,70" for r in rows)]) + "\n")
    out = hospital.parent
    ingest_patients.run(hospital, out / "faces", out / "q", out / "m.json", IngestPatients.model_validate(SECTION))
    metrics = json.loads((out / "m.json").read_text())
    assert metrics["columns"]["used"]["gender"] == "Geschlecht"
    assert metrics["columns"]["ignored"] == ["Huber Anna", "column 10", "weight"]
    assert metrics["not_understood"] == {"gender": 1}
    assert metrics["lines"] == {"preamble": 0, "heading": 1, "records": 2}
    assert "2 in = 1 kept of 1 patients + 1 quarantined" in caplog.text
    assert "not understood: 1 x gender; expected f or m" in caplog.text
    assert "MRN-7781" not in caplog.text + (out / "m.json").read_text()


@pytest.mark.parametrize("spelling", [
    "see a.jpg (left)", "a.jpg und c.jpg", "photos:a.jpg", "photos/a.jpg.", "a - Kopie.jpg", "“a.jpg”",
    "link.jpg", "photos%252Fa.jpg", "\u0430.jpg",
])  # fmt: skip
def test_a_refusal_reaches_a_photo_that_its_text_mentions(hospital, spelling):
    (hospital / "photos/link.jpg").symlink_to("a.jpg")
    (hospital / "photos/a.jpg").write_bytes(encoded(picture(1), "JPEG"))
    (hospital / "records.csv").write_text("\n".join([HEADER, row("p1", "a.jpg"), row("p2", spelling, "no")]))
    assert not ingest_patients.match(hospital, IngestPatients.model_validate(SECTION)).good


@pytest.mark.parametrize("other", ["a  b.png", "a\ufe0fb.png", "a\u2800b.png", "a b.png."])
def test_names_that_differ_in_what_nobody_sees_are_ambiguous(hospital, other):
    for name in (other, "a b.png", "ab.png"):
        (hospital / "photos" / name).write_bytes(encoded(picture(1)))
    (hospital / "records.csv").write_text("\n".join([HEADER, row("p1", other)]))
    assert not ingest_patients.match(hospital, IngestPatients.model_validate(SECTION)).good


def test_rows_that_excel_hides_or_cuts_short(hospital):
    (hospital / "photos/a.png").write_bytes(encoded(picture(1)))
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for line in (HEADER, row("p1", "a.png"), row("p2", "b.png")):
        sheet.append([cell or None for cell in line.split(",")] + [None])
    sheet.row_dimensions[3].hidden = True
    book.save(hospital / "records.csv")
    matched = ingest_patients.match(hospital, IngestPatients.model_validate(SECTION))
    assert {record.patient_id for record in matched.good.values()} == {"p1"}
    assert matched.records[1].reason == "bad_row"
