"""De-identify, restore, rekey: what comes back, what is refused, what is logged."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mema.hospital.audit import log as audit
from mema.hospital.places import sidecar_of
from tests.mema.hospital.workspace import encoded, mema, pixels, rejected, smooth, write_key

NAMES = ("a.png", "sub/b.jpg")


@pytest.fixture
def done(hospital):
    """Two aligned faces, de-identified with their originals kept."""
    (hospital.photos / "sub").mkdir()
    exif = Image.Exif()
    exif[0x010F] = "A camera with a name"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    (hospital.photos / NAMES[0]).write_bytes(encoded(smooth(1), "PNG", exif=exif))
    (hospital.photos / NAMES[1]).write_bytes(encoded(smooth(2), "JPEG", exif=exif, quality=95))
    result = hospital.deid("--keep-original")
    assert result.exit_code == 0, result.output
    assert "2 files: 2 de-identified (2 faces)" in result.output
    return hospital


def entries(hospital) -> list[dict]:
    return [json.loads(line) for line in hospital.log.read_text().splitlines()]


def test_pictures_are_other_faces_and_side_cars_lie_beside_them(done):
    for name in ("a.png.png", "sub/b.jpg.png"):
        assert sidecar_of(done.out / name).is_file()
    assert np.abs(pixels(done.out / "a.png.png").astype(int) - pixels(done.photos / "a.png")).mean() > 5
    assert rejected(done.photos) == {}


def test_no_metadata_is_left(done):
    for path in (done.out / "a.png.png", done.out / "sub/b.jpg.png"):
        image = Image.open(path)
        assert not image.getexif()
        assert set(image.info) == set()
        for trace in (b"camera", b"Exif", b"eXIf", b"tEXt"):
            assert trace not in path.read_bytes()


def test_restore_gives_the_network_s_photo_and_exact_the_file(done):
    assert mema("restore", done.out, "back", "--key-file", done.key, "--why", "request 12").exit_code == 0
    assert mema("restore", done.out, "exact", "--key-file", done.key, "--exact").exit_code == 0
    for name in NAMES:
        assert Path("exact", name).read_bytes() == (done.photos / name).read_bytes()
    back = pixels(Path("back/sub/b.jpg.png"))
    assert back.shape == (96, 96, 3)
    assert (back != pixels(done.out / "sub/b.jpg.png")).any()


def test_a_single_file_goes_there_and_back(hospital):
    (hospital.photos / "a.jpg").write_bytes(encoded(smooth(1), "JPEG"))
    run = mema("deid", hospital.photos / "a.jpg", "one.png", "--key-file", hospital.key, "--aligned")
    assert run.exit_code == 0, run.output
    assert mema("restore", "one.png", "back.png", "--key-file", hospital.key).exit_code == 0
    assert pixels(Path("back.png")).shape == (96, 96, 3)
    again = mema("restore", "one.png", "back.png", "--key-file", hospital.key)
    assert again.exit_code == 1
    assert "out_exists: nothing is overwritten" in again.output
    exact = mema("restore", "one.png", "exact.jpg", "--key-file", hospital.key, "--exact")
    assert "no_original: it was de-identified without --keep-original" in exact.output


def test_every_step_is_logged_with_its_reason_and_the_chain_holds(done):
    mema("restore", done.out / "a.png.png", "a.png", "--key-file", done.key, "--why", "request 12")
    other = write_key("other", "a passphrase of others")
    mema("restore", done.out / "a.png.png", "b.png", "--key-file", other, "--why", "curious")
    log = entries(done)
    assert [entry["action"] for entry in log] == ["begin", "deid", "deid", "restore", "restore_refused"]
    assert [entry["why"] for entry in log[3:]] == ["request 12", "curious (sidecar_refused)"]
    assert log[1]["file_sha256"] == log[3]["file_sha256"] == log[4]["file_sha256"]
    verified = mema("audit", "verify")
    assert verified.exit_code == 0
    assert "5 lines, unanchored; " in verified.output
    assert f"head {audit.verify(done.log)}" in verified.output
    assert b"a.png" not in done.log.read_bytes()


def test_a_tampered_log_is_told_and_ends_restoring(done):
    done.log.write_bytes(done.log.read_bytes().replace(b'"deid"', b'"dead"', 1))
    verified = mema("audit", "verify")
    assert verified.exit_code == 2
    assert "line 2: was changed" in verified.output
    done.log.write_bytes(b"")
    restored = mema("restore", done.out, "back", "--key-file", done.key)
    assert restored.exit_code == 2
    assert "lines were cut off" in restored.output
    assert list(Path("back").iterdir()) == []


def test_a_wrong_passphrase_is_refused(done):
    other = write_key("other", "a passphrase of others")
    result = mema("restore", done.out, "back", "--key-file", other)
    assert result.exit_code == 1
    assert "2 failed: sidecar_refused 2" in result.output
    refused = {"a.png.png": "sidecar_refused", "sub/b.jpg.png": "sidecar_refused"}
    assert rejected(Path("back"), "restore") == refused
    assert list(Path("back").iterdir()) == []


def test_a_changed_picture_is_told_and_a_resaved_one_is_not(done):
    picture = Image.open(done.out / "a.png.png")
    picture.save(done.out / "a.png.png", optimize=True)
    assert mema("restore", done.out / "a.png.png", "same.png", "--key-file", done.key).exit_code == 0
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(done.out / "a.png.png")
    result = mema("restore", done.out / "a.png.png", "back.png", "--key-file", done.key)
    assert result.exit_code == 1
    assert "picture_changed: its pixels are not those that were written" in result.output
    assert not Path("back.png").exists()
    more = ("--key-file", done.key, "--allow-changed")
    assert mema("restore", done.out / "a.png.png", "back.png", *more).exit_code == 0
    picture.resize((90, 90)).save(done.out / "a.png.png")
    assert mema("restore", done.out / "a.png.png", "smaller.png", *more).exit_code == 1


def test_faces_are_not_restored_on_another_picture_of_the_same_size(done):
    smooth(77, Image.open(done.out / "a.png.png").size).save(done.out / "a.png.png")
    result = mema("restore", done.out / "a.png.png", "x.png", "--key-file", done.key, "--allow-changed")
    assert result.exit_code == 1
    assert "another_picture" in result.output
    assert not Path("x.png").exists()


def test_swapped_side_cars_are_refused(done):
    one, two = (sidecar_of(done.out / name) for name in ("a.png.png", "sub/b.jpg.png"))
    one.write_bytes(two.read_bytes())
    result = mema("restore", done.out / "a.png.png", "back.png", "--key-file", done.key)
    assert "picture_changed" in result.output


def test_rekey_changes_the_passphrase_and_no_picture(done):
    before = {path: path.read_bytes() for path in done.out.rglob("*.png")}
    mema("restore", done.out / "a.png.png", "before.png", "--key-file", done.key)
    new = write_key("new", "another horse battery")
    result = mema("rekey", done.out, "--key-file", done.key, "--new-key-file", new)
    assert result.exit_code == 0, result.output
    assert before == {path: path.read_bytes() for path in done.out.rglob("*.png")}
    assert mema("restore", done.out / "a.png.png", "old.png", "--key-file", done.key).exit_code == 1
    assert mema("restore", done.out / "a.png.png", "after.png", "--key-file", new).exit_code == 0
    assert Path("after.png").read_bytes() == Path("before.png").read_bytes()


def test_a_rekey_that_was_interrupted_goes_on(done):
    new = write_key("new", "another horse battery")
    assert mema("rekey", done.out / "a.png.png", "--key-file", done.key, "--new-key-file", new).exit_code == 0
    result = mema("rekey", done.out, "--key-file", done.key, "--new-key-file", new)
    assert result.exit_code == 0
    assert "2 files: 1 rekeyed, 1 done before" in result.output
    third = write_key("third", "a third passphrase")
    assert mema("rekey", done.out, "--key-file", third, "--new-key-file", done.key).exit_code == 1


def test_another_model_is_named(done, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    result = mema("restore", done.out / "a.png.png", "b.png", "--key-file", done.key, "--model", model)
    assert result.exit_code == 1
    assert "other_model: it was made by the model" in " ".join(result.output.split())


def test_help_starts_without_torch_and_opencv():
    code = (
        "import sys, typer; from mema.hospital.commands import register; register(typer.Typer()); "
        "print(*({'torch', 'cv2', 'numpy', 'cryptography'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
