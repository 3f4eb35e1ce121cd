import numpy as np
import pytest

from models.images import PngWriter, decode, encode_png, tile


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def test_png_keeps_every_pixel_and_the_order_of_channels():
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(decode(encode_png(red)), red)
    np.testing.assert_array_equal(decode(encode_png(picture(0))), picture(0))


@pytest.mark.parametrize("data", [b"text called .png", b""])
def test_decode_refuses_what_is_no_picture(data):
    with pytest.raises(ValueError, match="no readable picture"):
        decode(data)


def test_writer_returns_what_was_queued_in_order_and_once():
    pictures = np.stack([picture(i) for i in range(5)])
    with PngWriter() as writer:
        writer.write(pictures[:3])
        writer.write(pictures[3:])
        encoded = writer.collect()
        assert writer.collect() == []
    np.testing.assert_array_equal([decode(data) for data in encoded], pictures)


def test_tile_fills_rows_first_and_leaves_white():
    images = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3)])
    sheet = tile(images, columns=2)
    assert sheet.shape == (4, 4, 3)
    assert sheet[::2, ::2, 0].tolist() == [[1, 2], [3, 255]]
