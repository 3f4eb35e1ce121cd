"""Where a pass over a turned and scaled picture puts what it finds."""

import numpy as np
import pytest

from models.photos.detectors import Cnn, Hog, UltraFace, load_detectors
from models.photos.search import Pass, passes, search, smallest_face_px


class Corner:
    """Finds a white pixel block: its middle, and 10 px of side."""

    name, window_px, sure = "corner", 10, 0.0

    def __init__(self, tile: tuple[int, int] | None = None) -> None:
        self.tile = tile

    def find(self, rgb: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(rgb[..., 0] > 200)
        if not rows.size:
            return np.zeros((0, 4))
        return np.array([[columns.mean() + 0.5, rows.mean() + 0.5, 10.0, 1.0]])


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("tile", [None, (320, 240)])
def test_each_direction_gives_the_place_in_the_picture(scale, tile):
    picture = np.zeros((300, 500, 3), np.uint8)
    picture[40:48, 420:428] = 255
    found = search(picture, [Pass(Corner(tile), scale)])
    assert {region.direction for region in found} == {0.0, 90.0, 180.0, 270.0}
    for region in found:
        assert region.x == pytest.approx(424, abs=4)  # a tile may cut the block
        assert region.y == pytest.approx(44, abs=4)
        assert region.side == pytest.approx(10 / scale, rel=0.02)


def test_every_pixel_lies_in_a_tile():
    for place in ((3, 3), (1190, 20), (600, 790), (20, 795)):
        picture = np.zeros((800, 1200, 3), np.uint8)
        picture[place[1] : place[1] + 4, place[0] : place[0] + 4] = 255
        assert search(picture, [Pass(Corner((320, 240)), 1.0, (0,))])


def test_the_smallest_face_is_what_is_asked_for_unless_the_photo_is_huge():
    networks = [Hog(), Cnn(), UltraFace("x")]
    assert smallest_face_px(passes(networks, (3000, 4000, 3), 40)) == 40
    assert smallest_face_px(passes([Hog(), Cnn()], (3000, 4000, 3), 40)) == 40
    assert smallest_face_px(passes([Hog(), Cnn()], (10000, 12000, 3), 40)) == pytest.approx(87.6, abs=0.1)
    scales = [one.scale for one in passes(networks, (3000, 4000, 3), 40) if one.detector.name == "ultraface"]
    assert scales[0] / scales[1] == 2
    assert scales[-1] * 4000 <= 240


@pytest.mark.parametrize("detector", ["ultraface", "insightface"])
def test_a_missing_network_is_named(detector):
    with pytest.raises(ValueError, match=r"detector_path: .*nowhere"):
        load_detectors(detector, "nowhere")


def test_an_unknown_detector_is_named():
    with pytest.raises(ValueError, match="detector: 'haar' is not one of dlib, ultraface, insightface"):
        load_detectors("haar", "")
