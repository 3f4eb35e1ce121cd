"""Forty bad inputs: each is quarantined or accepted as it should be, the counts add up, nothing crashes."""

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from mema.params.synthesize import IngestPatients
from mema.runtime import shards
from models.images import image_id
from tasks import schemas
from tasks.synthesize import ingest_patients

SECTION = {
    "detector": "aligned", "image_size_px": 64, "min_size_px": 64, "max_megapixels": 2, "max_aspect": 2.0,
    "near_duplicate_bits": 2, "shard_rows": 2, "held_out_share": 0.5,
}  # fmt: skip
HEADER = "patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"
ROW = "p1,2020-01-02,right,H10.1,Conjunctivitis,40,F,yes,photos/{file}"


def picture(seed: int = 0, size: tuple[int, int] = (80, 80)) -> Image.Image:
    """A smooth random picture, so that perceptual hashes of two seeds are far apart."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated_with_gps() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    return encoded(picture(), "JPEG", exif=exif, quality=95)


def bomb() -> bytes:
    """A PNG of 200,000 x 200,000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def sixteen_bit() -> bytes:
    ramp = np.arange(6400, dtype=np.uint16).reshape(80, 80) * 10
    return cv2.imencode(".png", ramp)[1].tobytes()


def animated(kind: str) -> bytes:
    return encoded(picture(0), kind, save_all=True, append_images=[picture(1)], duration=100)


def with_profile() -> bytes:
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    return encoded(picture(), "PNG", icc_profile=lab_like)


def alpha_picture(value: int) -> bytes:
    image = picture().convert("RGBA")
    image.putalpha(value)
    return encoded(image)


PHOTOS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zero bytes": (lambda: b"", "empty_file"),
    "text called jpg": (lambda: b"this is no picture\n" * 20, "not_an_image"),
    "html called jpg": (lambda: b"<html><body>404</body></html>", "not_an_image"),
    "pdf": (lambda: b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "unsupported_format"),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "unsupported_format"),
    "truncated jpeg": (lambda: encoded(picture(), "JPEG")[:400], "broken_image"),
    "truncated png": (lambda: encoded(picture())[:2000], "broken_image"),
    "png of flipped bits": (lambda: encoded(picture())[:200] + b"\0" * 3000, "broken_image"),
    "decompression bomb": (bomb, "too_many_pixels"),
    "huge picture": (lambda: encoded(Image.new("L", (2000, 1500), 9)), "too_many_pixels"),
    "huge file": (lambda: encoded(picture(), "BMP") + b"\0" * (40 << 20), "file_too_large"),
    "too small": (lambda: encoded(picture(size=(63, 80))), "too_small"),
    "too long": (lambda: encoded(picture(size=(64, 129))), "bad_aspect"),
    "one colour": (lambda: encoded(Image.new("RGB", (80, 80), (9, 9, 9))), "blank_image"),
    "transparent": (lambda: alpha_picture(0), "transparent_image"),
    "animated gif": (lambda: animated("GIF"), "several_frames"),
    "animated webp": (lambda: animated("WEBP"), "several_frames"),
    "animated png": (lambda: animated("PNG"), "several_frames"),
    "float tiff": (lambda: encoded(picture().convert("F"), "TIFF"), "unsupported_mode"),
    "cmyk": (lambda: encoded(picture().convert("CMYK"), "JPEG"), "+cmyk"),
    "16 bit": (lambda: sixteen_bit(), "+16_bit"),
    "alpha": (lambda: alpha_picture(128), "+alpha"),
    "palette": (lambda: encoded(picture().convert("P"), "GIF"), "+"),
    "grey": (lambda: encoded(picture().convert("L"), "JPEG"), "+"),
    "still webp": (lambda: encoded(picture(), "WEBP"), "+"),
    "rotated with gps": (rotated_with_gps, "+exif_rotated"),
    "broken colour profile": (lambda: encoded(picture(), icc_profile=b"nonsense" * 40), "+icc_unreadable"),
    "odd colour profile": (with_profile, "+"),
}

RECORDS = {
    "unknown disease": (ROW.replace("H10.1,Conjunctivitis", "H40.1,Glaucoma"), "unknown_disease"),
    "missing consent": (ROW.replace("yes", ""), "missing_consent"),
    "consent refused": (ROW.replace("yes", "no"), "consent_refused"),
    "two patients": (ROW.replace("p1", "p1; p2"), "invalid_patient_id"),
    "spreadsheet's number": (ROW.replace("p1", "1.23E+05"), "invalid_patient_id"),
    "doubt": (ROW.replace("Conjunctivitis", "V.a. Conjunctivitis"), "doubtful_diagnosis"),
    "two diagnoses": (ROW.replace("H10.1", "H10.1 H20.0"), "several_diagnoses"),
    "no patient": (ROW.replace("p1", ""), "missing_patient_id"),
    "file missing": (ROW.replace("{file}", "nowhere.png"), "file_missing"),
    "no file": (ROW.replace("photos/{file}", ""), "no_file_named"),
    "traversal": (ROW.replace("photos/{file}", "../secret.png"), "path_outside"),
    "absolute path": (ROW.replace("photos/{file}", "/etc/hostname"), "path_outside"),
    "cells too many": (ROW + ",more", "bad_row"),
    "folder": (ROW.replace("{file}", "folder.jpg"), "not_a_file"),
    "link": (ROW.replace("{file}", "link.png"), "symbolic_link"),
    "fifo": (ROW.replace("{file}", "fifo.png"), "not_a_file"),
}


@pytest.fixture
def hospital(tmp_path, monkeypatch) -> Path:
    """A source folder with one good photo and record."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/photos").mkdir(parents=True)
    (tmp_path / "raw/photos/good.png").write_bytes(encoded(picture(99)))
    return tmp_path / "raw"


def ingest(hospital: Path, rows: list[str], **changes) -> tuple[list[dict], list[dict], dict]:
    good = ROW.format(file="good.png").replace("p1", "p0").replace(",40,", ",50,")
    (hospital / "records.csv").write_text("\n".join([HEADER, good, *rows]) + "\n")
    out = hospital.parent
    section = IngestPatients.model_validate(SECTION | changes)
    ingest_patients.run(hospital, out / "faces", out / "q.parquet", out / "m.json", section)
    faces = shards.read_table(out / "faces")
    assert faces.schema == schemas.PATIENT_FACE
    quarantine = shards.read_table(out / "q.parquet").to_pylist()
    metrics = json.loads((out / "m.json").read_text())
    assert metrics["in"] == metrics["kept"] + metrics["quarantined"]
    assert (metrics["kept"], metrics["quarantined"]) == (faces.num_rows, len(quarantine))
    assert sum(metrics["reasons"].values()) == metrics["quarantined"]
    kept = [face for face in faces.to_pylist() if face["patient_id"] != "p0"]
    assert faces.num_rows == len(kept) + 1, "the good photo beside it must survive"
    return kept, quarantine, metrics


@pytest.mark.parametrize("case", PHOTOS)
def test_photo(hospital, case):
    make, expected = PHOTOS[case]
    (hospital / "photos/case.jpg").write_bytes(make())
    kept, quarantine, metrics = ingest(hospital, [ROW.format(file="case.jpg")])
    assert metrics["in"] == 2
    if not expected.startswith("+"):
        assert [(row["file"], row["row"], row["reason"]) for row in quarantine] == [("photos/case.jpg", 2, expected)]
        return
    assert not quarantine
    assert set(filter(None, [expected[1:]])) <= set(kept[0]["flags"])
    plain = Image.open(io.BytesIO(kept[0]["image"]))
    assert (plain.format, plain.mode, plain.size) == ("PNG", "RGB", (64, 64))
    assert not plain.info
    assert not plain.getexif()
    assert kept[0]["image_id"] == image_id(np.asarray(plain))


@pytest.mark.parametrize("case", RECORDS)
def test_record(hospital, case):
    row, expected = RECORDS[case]
    (hospital.parent / "secret.png").write_bytes(encoded(picture(5)))
    (hospital / "photos/case.png").write_bytes(encoded(picture(1)))
    (hospital / "photos/folder.jpg").mkdir()
    (hospital / "photos/folder.jpg/inner.png").write_bytes(encoded(picture(2)))
    (hospital / "photos/link.png").symlink_to(hospital.parent / "secret.png")
    os.mkfifo(hospital / "photos/fifo.png")
    kept, quarantine, _ = ingest(hospital, [row.format(file="case.png")])
    assert not kept
    assert [q["reason"] for q in quarantine if q["row"] == 2] == [expected]
    assert all(q["detail"].startswith(f"line {q['line']}: ") for q in quarantine if q["row"])
    beside = {q["file"]: q["reason"] for q in quarantine if q["row"] is None}
    assert beside.pop("photos/folder.jpg/inner.png") == "photo_without_record"
    assert beside.items() <= {"photos/case.png": "photo_without_record", "photos/link.png": "symbolic_link",
                              "photos/fifo.png": "not_a_file"}.items()  # fmt: skip


def test_a_file_named_twice_and_a_photo_without_record(hospital):
    for name in ("a.png", "b.png"):
        (hospital / "photos" / name).write_bytes(encoded(picture(ord(name[0]))))
    rows = [ROW.format(file="a.png"), ROW.format(file="a.png").replace("p1", "p2")]
    _, quarantine, metrics = ingest(hospital, rows)
    assert [q["reason"] for q in quarantine] == ["file_named_twice", "file_named_twice", "photo_without_record"]
    assert (metrics["records"], metrics["photos_without_record"]) == (3, 1)


def test_two_names_of_one_file_are_seen(hospital):
    (hospital / "photos/a.png").write_bytes(encoded(picture(1)))
    rows = [ROW.format(file="a.png"), ROW.format(file="a.png").replace("photos/", "")]
    _, quarantine, _ = ingest(hospital, rows)
    assert [q["reason"] for q in quarantine] == ["file_named_twice"]


def test_duplicates_are_flagged_and_kept(hospital):
    same, near = picture(1), np.asarray(picture(1)).copy()
    near[40:42, 40:42] ^= 3
    (hospital / "photos/a.png").write_bytes(encoded(same))
    (hospital / "photos/b.bmp").write_bytes(encoded(same, "BMP"))
    (hospital / "photos/c.png").write_bytes(encoded(Image.fromarray(near)))
    kept, _, metrics = ingest(hospital, [ROW.format(file=name) for name in ("a.png", "b.bmp", "c.png")])
    assert [face["flags"] for face in kept] == [[], ["exact_duplicate"], ["near_duplicate"]]
    assert metrics["flags"] == {"exact_duplicate": 1, "near_duplicate": 1}


def test_exif_rotation_turns_the_pixels(hospital):
    (hospital / "photos/a.jpg").write_bytes(rotated_with_gps())
    kept, _, _ = ingest(hospital, [ROW.format(file="a.jpg")], image_size_px=80)
    pixels = np.asarray(Image.open(io.BytesIO(kept[0]["image"]))).astype(float)
    upright = np.rot90(np.asarray(picture()), -1).astype(float)
    assert np.abs(pixels - upright).mean() < 5
    assert b"GPS" not in kept[0]["image"]


def test_the_latest_photo_of_a_patient_is_held_out(hospital):
    names = ["a.png", "b.png", "c.png"]
    for seed, name in enumerate(names):
        (hospital / "photos" / name).write_bytes(encoded(picture(seed)))
    rows = [
        ROW.format(file=name).replace("2020", year) for name, year in zip(names, ("2021", "2023", "2022"), strict=True)
    ]
    kept, _, metrics = ingest(hospital, rows, held_out_share=1.0)
    assert [face["split"] for face in kept] == ["train", "heldout", "train"]
    assert metrics["splits"] == {"train": 3, "heldout": 1}


def test_nothing_kept_ends_with_counts_and_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw/photos").mkdir(parents=True)
    (tmp_path / "raw/records.csv").write_text(HEADER + "\n" + ROW.format(file="x.png") + "\n")
    out = (tmp_path / "f", tmp_path / "q.parquet", tmp_path / "m.json")
    with pytest.raises(ValueError, match="kept 0 of 1"):
        ingest_patients.run(tmp_path / "raw", *out, IngestPatients.model_validate(SECTION))
    assert json.loads(out[2].read_text())["reasons"] == {"file_missing": 1}


@pytest.fixture(scope="module")
def group_photo() -> np.ndarray:
    data = pytest.importorskip("insightface.data")
    return data.get_image("t1")


@pytest.mark.slow
@pytest.mark.parametrize(("faces", "flags", "reasons"), [(0, [], ["no_face"]), (6, ["several_faces"], [])])
def test_faces_found(hospital, group_photo, faces, flags, reasons):
    pixels = group_photo if faces else np.asarray(picture(3, (300, 300)))
    crowd = {"detector": "dlib", "max_megapixels": 5}
    cv2.imwrite(str(hospital / "photos/good.png"), group_photo)
    cv2.imwrite(str(hospital / "photos/a.png"), np.ascontiguousarray(pixels[:, ::-1]))
    kept, quarantine, _ = ingest(hospital, [ROW.format(file="a.png")], **crowd)
    assert [q["reason"] for q in quarantine] == reasons
    assert set(flags) <= set(kept[0]["flags"] if kept else [])
