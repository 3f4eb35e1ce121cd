"""Whatever lies in the folder: a sensible picture or a reason, and the run goes on to its end."""

from pathlib import Path

import numpy as np
import pytest
from insightface.data import get_image
from PIL import Image

from mema.hospital.places import sidecar_of
from tests.mema.hospital.workspace import PASSPHRASE, encoded, mema, pixels, rejected, smooth, write_key


def grey16() -> bytes:
    ramp = np.linspace(0, 65535, 96 * 96).reshape(96, 96).astype(np.uint16)
    return encoded(Image.fromarray(ramp), "PNG")


def with_alpha() -> Image.Image:
    image = smooth(3).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(smooth(4, (120, 96)), "JPEG", exif=exif)


GOOD = {
    "grey.png": encoded(smooth(1).convert("L")),
    "grey16.png": grey16(),
    "alpha.png": encoded(with_alpha()),
    "cmyk.jpg": encoded(smooth(5).convert("CMYK"), "JPEG"),
    "palette.gif": encoded(smooth(6), "GIF"),
    "wide.bmp": encoded(smooth(7, (200, 100)), "BMP"),
    "rotated.jpg": rotated(),
}
BAD = {
    "truncated.jpg": (encoded(smooth(8), "JPEG")[:700], "broken_image"),
    "empty.png": (b"", "empty_file"),
    "scan": (b"no picture, and no ending that says so", "not_an_image"),
    "blank.png": (encoded(Image.new("RGB", (96, 96), (9, 9, 9))), "blank_image"),
    "tiny.png": (encoded(smooth(9, (40, 40))), "too_small"),
    "huge.png": (encoded(Image.new("L", (2000, 2000))), "too_many_pixels"),
    "strip.png": (encoded(smooth(9, (700, 70))), "bad_aspect"),
}

OTHERS = (".DS_Store", "notes.txt", "a.json", "._wide.bmp")


@pytest.mark.slow
def test_each_kind_of_file_gets_a_picture_or_a_reason(hospital):
    for name, data in GOOD.items():
        (hospital.photos / name).write_bytes(data)
    for name, (data, _) in BAD.items():
        (hospital.photos / name).write_bytes(data)
    for name in OTHERS:
        (hospital.photos / name).write_bytes(b"Mrs Miller, 12 May")
    result = hospital.deid()
    assert result.exit_code == 1
    assert f"{len(GOOD) + len(BAD)} files: {len(GOOD)} de-identified" in result.output
    assert "beside them 4 that are no photos: system 2, text 2" in result.output
    assert rejected(hospital.photos) == {name: reason for name, (_, reason) in BAD.items()}
    made = {path.name for path in hospital.out.iterdir() if path.suffix == ".png"}
    assert made == {f"{name}.png" for name in GOOD}
    assert all(sidecar_of(hospital.out / name).is_file() for name in made)
    assert pixels(hospital.out / "rotated.jpg.png").shape == (120, 96, 3)
    assert pixels(hospital.out / "wide.bmp.png").shape == (100, 200, 3)
    assert "Miller" not in result.output
    assert not list(hospital.out.glob("*.csv"))


def test_the_run_after_the_bad_ones_are_gone_ends_well(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    (hospital.photos / "bad.png").write_bytes(b"no")
    assert hospital.deid().exit_code == 1
    (hospital.photos / "bad.png").unlink()
    result = hospital.deid()
    assert result.exit_code == 0
    assert "0 de-identified, 1 done before" in result.output
    assert rejected(hospital.photos) == {}


def test_a_photo_without_a_face_is_told_and_not_copied(hospital):
    (hospital.photos / "wall.png").write_bytes(encoded(smooth(1, (200, 200))))
    result = mema("deid", hospital.photos / "wall.png", "wall.png", "--key-file", hospital.key)
    assert result.exit_code == 1
    assert "no_face: none of 40 px or more was found" in result.output
    assert not Path("wall.png").exists()


@pytest.mark.slow
def test_every_face_of_a_group_is_replaced_and_the_table_is_not(hospital):
    photo = get_image("t1")[::2, ::2, ::-1]
    Image.fromarray(photo).save(hospital.photos / "group.png")
    result = mema("deid", hospital.photos, hospital.out, "--key-file", hospital.key)
    assert result.exit_code == 0, result.output
    num_faces = int(result.output.split("(")[1].split(" faces")[0])
    assert num_faces >= 4
    assert mema("restore", hospital.out, "back", "--key-file", hospital.key).exit_code == 0
    out, back = pixels(hospital.out / "group.png.png"), pixels(Path("back/group.png.png"))
    changed = (out != photo).any(axis=-1)
    assert 0.01 < changed.mean() < 0.15
    np.testing.assert_array_equal(out[330:], photo[330:])
    np.testing.assert_array_equal(back[330:], photo[330:])
    assert (back != photo).any(axis=-1).mean() <= changed.mean()


@pytest.mark.parametrize("out", ["photos", "photos/out", "."])
def test_the_output_never_lies_in_the_input(hospital, out):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    before = (hospital.photos / "a.png").read_bytes()
    result = mema("deid", hospital.photos, out, "--key-file", hospital.key, "--aligned")
    assert result.exit_code == 2
    assert "name a folder beside it" in result.output
    assert (hospital.photos / "a.png").read_bytes() == before


def test_a_file_is_never_written_over_itself_or_another(hospital):
    photo = hospital.photos / "a.png"
    photo.write_bytes(encoded(smooth(1)))
    before = photo.read_bytes()
    result = mema("deid", photo, photo, "--key-file", hospital.key, "--aligned")
    assert result.exit_code == 1
    assert "out_exists: it has no side-car, so it isn't ours" in result.output
    assert photo.read_bytes() == before
    lossy = mema("deid", photo, "a.jpg", "--key-file", hospital.key, "--aligned")
    assert "must end in .png" in lossy.output


def test_another_photo_under_a_finished_name_is_told(hospital):
    photo = hospital.photos / "a.png"
    photo.write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    before = sidecar_of(hospital.out / "a.png.png").read_bytes()
    photo.write_bytes(encoded(smooth(2)))
    assert hospital.deid().exit_code == 1
    assert rejected(hospital.photos) == {"a.png": "out_exists"}
    assert sidecar_of(hospital.out / "a.png.png").read_bytes() == before


def test_another_passphrase_in_a_second_run_is_told(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    write_key("key", PASSPHRASE + "!")
    assert hospital.deid().exit_code == 1
    assert rejected(hospital.photos) == {"a.png": "sidecar_refused"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"short\n", "at least 12"), (b"\xff\xfe" * 20, "no UTF-8 text"), (b"x" * 5000, "at most 4096 bytes")],
)
def test_a_bad_key_file_is_named_and_not_shown(hospital, content, message):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    hospital.key.write_bytes(content)
    result = hospital.deid()
    assert result.exit_code == 2
    assert message in result.output
    assert "short" not in result.output
    assert not hospital.out.exists()


def test_no_key_and_no_terminal_is_told(hospital):
    result = mema("deid", hospital.photos, hospital.out, "--aligned")
    assert result.exit_code == 2
    assert "--key-file: needed where no terminal can ask" in result.output


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_read_is_refused(hospital, mode):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    hospital.key.chmod(mode)
    result = hospital.deid()
    assert result.exit_code == 2
    assert "others may read key; run `chmod 600 key`" in result.output
    assert not hospital.out.exists()


def test_a_typo_in_params_is_named(hospital):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("max_aspect", "max_aspekt"))
    result = hospital.deid()
    assert result.exit_code == 2
    assert "deid_files.max_aspekt: extra inputs are not permitted" in result.output
