"""A decoded photo is the photo: whole, in all its bits, of a format that is read; else the reason says what to do."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from models.photos.decoding import Limits, decode_photo
from models.photos.formats import format_of
from models.photos.rejection import Rejection

LIMITS = Limits(min_size_px=32, max_megapixels=5, max_aspect=3)


def picture(seed: int = 0, shape: tuple[int, int] = (240, 320)) -> np.ndarray:
    """A smooth picture with fine noise, as a camera's is: no two of its blocks are equal."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 200, (6, 8, 3), np.uint8), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse.astype(int) + rng.integers(0, 12, (*shape, 3)), 0, 255).astype(np.uint8)


def encoded(rgb: np.ndarray, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def deep(rgb: np.ndarray, bits: int, ending: str) -> bytes:
    """The picture with `bits` of a 16-bit file in use."""
    wide = (rgb.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    return cv2.imencode(ending, wide[..., ::-1] if wide.ndim == 3 else wide)[1].tobytes()


WHOLE, OTHER = encoded(picture(1)), encoded(picture(2))
STEPPED = encoded(picture(1), progressive=True)
HALF = len(WHOLE) // 2
DAMAGED = {
    "cut and finished": WHOLE[:HALF] + b"\xff\xd9",
    "cut late and finished": WHOLE[: len(WHOLE) * 49 // 50] + b"\xff\xd9",
    "a progressive one, cut and finished": STEPPED[: len(STEPPED) // 2] + b"\xff\xd9",
    "continued by another's scan": WHOLE[:HALF] + OTHER[len(OTHER) // 2 :],
    "continued by more of another's scan": WHOLE[:HALF] + OTHER[len(OTHER) // 4 :],
    "continued where another's scan is as long": WHOLE[:HALF] + OTHER[-HALF:],
    "a hole of zeros": WHOLE[:HALF] + bytes(len(WHOLE) // 8) + WHOLE[HALF + len(WHOLE) // 8 :],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_jpeg_that_is_not_all_its_own_is_damaged(case):
    with pytest.raises(Rejection, match="damaged") as caught:
        decode_photo(DAMAGED[case], LIMITS)
    assert "JPEG" in caught.value.detail


def test_a_jpeg_cut_open_and_continued_by_a_whole_other_is_turned_away():
    with pytest.raises(Rejection, match=r"damaged|broken_image"):
        decode_photo(WHOLE[:HALF] + OTHER, LIMITS)


@pytest.mark.parametrize(("data", "flags"), [
    (WHOLE, []), (STEPPED, []), (WHOLE + OTHER, ["bytes_after_end"]), (WHOLE + bytes(500), []),
    (WHOLE[:-2] + bytes([1] * 9) + WHOLE[-2:], ["decoder_warning"]),
    (encoded(picture(1), restart_marker_blocks=4), []), (encoded(picture(1), comment=b"\xff\xd8\xff in a comment"), []),
])  # fmt: skip
def test_a_whole_jpeg_is_kept_and_what_is_odd_about_it_is_flagged(data, flags):
    rgb, found = decode_photo(data, LIMITS)
    assert found == flags
    assert np.abs(rgb.astype(int) - picture(1)).mean() < 6


def test_what_others_write_to_standard_error_is_passed_on(capfd, monkeypatch):
    decode = cv2.imdecode

    def loud(*arguments):
        os.write(2, b"another thread's line\n")
        return decode(*arguments)

    monkeypatch.setattr(cv2, "imdecode", loud)
    with pytest.raises(Rejection, match="damaged"):
        decode_photo(DAMAGED["cut and finished"], LIMITS)
    assert capfd.readouterr().err == "another thread's line\n"


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("is_grey", [True, False])
def test_the_bits_in_use_are_shown(ending, bits, is_grey):
    rgb = picture(3)
    rgb[0, 0] = 255
    shown = rgb[..., 1] if is_grey else rgb
    found, flags = decode_photo(deep(shown, bits, ending), LIMITS)
    expected = np.dstack([shown] * 3) if is_grey else rgb
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert ("bits_scaled" in flags) == (bits < 16)


def test_few_bits_beside_transparency_are_turned_away():
    rgba = np.dstack([picture(3), np.full((240, 320), 255, np.uint8)])
    wide = (rgba.astype(np.uint32) * 1023 // 255).astype(np.uint16)
    with pytest.raises(Rejection, match="unsupported_mode") as caught:
        decode_photo(cv2.imencode(".png", wide)[1].tobytes(), LIMITS)
    assert "export it as" in caught.value.detail


@pytest.mark.parametrize(("kind", "module"), [("HEIF", "pillow_heif"), ("AVIF", "PIL")])
def test_photos_of_phones_are_read(kind, module):
    pytest.importorskip(module)
    import pillow_heif

    pillow_heif.register_heif_opener()
    data = encoded(picture(4), kind, quality=90)
    assert format_of(data) == kind
    rgb, flags = decode_photo(data, LIMITS)
    assert flags == []
    assert np.abs(rgb.astype(int) - picture(4)).mean() < 8


def test_a_turned_heic_comes_upright_once():
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb, _ = decode_photo(encoded(picture(4), "HEIF", quality=95, exif=exif.tobytes()), LIMITS)
    assert np.abs(rgb.astype(int) - np.rot90(picture(4), -1)).mean() < 8


RAW_TAGS = {254: 1, 271: "Camera"}
UNREAD = {
    "DICOM": bytes(128) + b"DICM" + bytes(200),
    "PDF": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
    "SVG": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'></svg>",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "JPEG 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40),
    "JPEG XL": b"\xff\x0a" + bytes(40),
    "QuickTime": b"\x00\x00\x00\x14ftypqt  " + bytes(40),
    "MP4": b"\x00\x00\x00\x18ftypmp42" + bytes(40),
    "AVI": b"RIFF\x00\x00\x00\x00AVI LIST" + bytes(40),
    "Matroska": b"\x1aE\xdf\xa3" + bytes(40),
    "Canon raw": b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(40),
    "Fujifilm raw": b"FUJIFILMCCD-RAW 0201" + bytes(40),
    "Photoshop": b"8BPS\x00\x01" + bytes(40),
    "ZIP": b"PK\x03\x04" + bytes(40),
    "raw": encoded(picture(), "TIFF", tiffinfo=RAW_TAGS),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_format_that_is_not_read_is_named_with_what_to_do(name):
    with pytest.raises(Rejection, match="unsupported_format") as caught:
        decode_photo(UNREAD[name], LIMITS)
    assert name in caught.value.detail
    assert any(word in caught.value.detail for word in ("export", "unpack"))


def test_a_picture_is_known_by_its_bytes_whatever_it_is_called():
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"):
        assert format_of(encoded(picture(), kind)) == kind
    assert format_of(b"patient_id,file\n") == ""
