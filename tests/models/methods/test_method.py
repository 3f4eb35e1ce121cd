"""Each built-in method against a reference, and what the interface refuses."""

import sys
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce

import models.methods
from models.methods import method as interface
from models.methods.eye_bar import EyeBar
from models.methods.gaussian_blur import GaussianBlur
from models.methods.identity import Identity
from models.methods.k_same_mean import KSameMean
from models.methods.method import Method, built_in, checked, load_method, names
from models.methods.pixelation import Pixelation
from models.photos.alignment import LEFT_EYE, RIGHT_EYE

RNG = np.random.default_rng(0)
FACES = np.stack([cv2.resize(RNG.integers(0, 256, (12, 12, 3), np.uint8), (60, 60)) for _ in range(9)])
NOBODY = np.zeros((len(FACES), 512), np.float32)


MAUVE = """
import numpy as np

from models.methods.method import Irreversible


class Mauve(Irreversible):
    "A mauve face."

    def __init__(self, shade=255):
        self.shade = shade

    def deidentify(self, images, passwords):
        made = np.zeros_like(images)
        made[..., 1] = self.shade
        return made, None


METHOD = Mauve
"""
NOTHING: Any = None  # a method of one's own is made from its options alone


class Mine:
    """A user's method: two methods, no base class."""

    def __init__(self, add: int = 1) -> None:
        self.add = add

    def deidentify(self, images, passwords):
        return images + np.uint8(self.add), None

    def recover(self, images, side_car, passwords):
        return images - np.uint8(self.add)


class Half:
    def deidentify(self, images, passwords):
        return images, None


def test_blur_is_a_gaussian_of_a_share_of_the_width():
    made, side_car = GaussianBlur(0.05).deidentify(FACES, NOBODY)
    expected = gaussian_filter(FACES.astype(float), (0, 3, 3, 0), mode="mirror")
    assert np.abs(made - expected).max() < 2
    assert side_car is None


@pytest.mark.parametrize("block", [0.1, 0.2])
def test_pixelation_is_the_mean_of_each_block(block):
    made, _ = Pixelation(block).deidentify(FACES, NOBODY)
    side = round(block * 60)
    means = np.round(block_reduce(FACES, (1, side, side, 1), np.mean)).astype(np.uint8)
    np.testing.assert_array_equal(made, means.repeat(side, 1).repeat(side, 2))


def test_pixelation_of_a_width_that_does_not_divide_covers_every_pixel_once():
    made, _ = Pixelation(0.1).deidentify(FACES[:, :57, :57], NOBODY)
    edges = np.flatnonzero((made[0, :, 1:] != made[0, :, :-1]).any((0, 2)))
    assert len(edges) == 9
    assert set(np.diff(edges)) == {5, 6}


def test_the_bar_hides_both_eyes_and_nothing_else():
    made, _ = EyeBar().deidentify(np.maximum(FACES, 1), NOBODY)
    black = (made == 0).all((0, 3))
    for x, y in (LEFT_EYE, RIGHT_EYE):
        assert black[int(y * 60) - 3 : int(y * 60) + 4, int(x * 60) - 6 : int(x * 60) + 7].all()
    np.testing.assert_array_equal(made[:, ~black], np.maximum(FACES, 1)[:, ~black])
    assert 0.08 < black.mean() < 0.2


def test_k_same_is_the_mean_of_the_nearest_training_faces():
    gallery, given = FACES[:7], FACES[7:]
    made, _ = KSameMean(gallery, 3).deidentify(given, NOBODY)

    def grey(image):
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
        return small.astype(float)

    for image, mean in zip(given, made, strict=True):
        distance = [np.linalg.norm(grey(face) - grey(image)) for face in gallery]
        expected = np.mean([gallery[i].astype(float) for i in np.argsort(distance)[:3]], 0)
        np.testing.assert_array_equal(mean, np.round(expected))


def test_with_all_training_faces_k_same_says_nothing_about_the_face():
    made, _ = KSameMean(FACES[:5], 5).deidentify(FACES[5:], NOBODY)
    assert (made == made[0]).all()


@pytest.mark.parametrize(
    "method",
    [Identity(), GaussianBlur(), Pixelation(), EyeBar(), KSameMean(FACES[:6], 2)],
    ids=lambda m: type(m).__name__,
)
def test_a_result_depends_on_its_image_alone_and_input_stays_as_it_was(method):
    before = FACES.copy()
    together, _ = method.deidentify(FACES, NOBODY)
    alone = np.concatenate([method.deidentify(FACES[i : i + 1], NOBODY[:1])[0] for i in range(len(FACES))])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(FACES, before)
    assert isinstance(method, Method)
    assert method.recover(together, None, NOBODY) is None
    assert method.deidentify(FACES[:0], NOBODY[:0])[0].shape == (0, 60, 60, 3)


class Cellar:
    """Sources of which nothing was sent along."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} is asked for and not needed")


@pytest.mark.parametrize("use", names())
def test_a_file_of_the_folder_is_a_method(use):
    kind = built_in(use)
    assert kind is not None
    assert kind.__doc__
    assert kind.needs <= {"generator", "faces", "deidentifier"}
    if not kind.needs:
        made = load_method(use, {}, Cellar())
        assert isinstance(made, Method)
        changed, _ = made.deidentify(FACES, NOBODY)
        checked(changed, FACES, use)


def test_a_name_that_is_no_file_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'mauve_of_a_test'; known: eye_bar, .*, or package\.module\.Class"):
        built_in("mauve_of_a_test")


def test_a_new_file_is_a_new_method(tmp_path, monkeypatch):
    """All that a built-in method takes, beside its line in params.yaml."""
    (tmp_path / "mauve_of_a_test.py").write_text(MAUVE)
    monkeypatch.setattr(models.methods, "__path__", [*models.methods.__path__, str(tmp_path)])
    assert "mauve_of_a_test" in names()
    made, _ = load_method("mauve_of_a_test", {"shade": 200}, Cellar()).deidentify(FACES, NOBODY)
    assert (made[..., 1] == 200).all()
    monkeypatch.delitem(sys.modules, "models.methods.mauve_of_a_test")


def test_a_method_of_ones_own_is_two_methods(monkeypatch):
    monkeypatch.setattr(interface, "Mine", Mine, raising=False)
    monkeypatch.setattr(interface, "Half", Half, raising=False)
    method = load_method("models.methods.method.Mine", {"add": 3}, NOTHING)
    changed, side_car = method.deidentify(FACES, NOBODY)
    np.testing.assert_array_equal(method.recover(changed, side_car, NOBODY), FACES)
    with pytest.raises(ValueError, match=r"Half lacks deidentify\(images, passwords\) or recover"):
        load_method("models.methods.method.Half", {}, NOTHING)
    with pytest.raises(ValueError, match=r"Mine does not take \{'plus': 3\}"):
        load_method("models.methods.method.Mine", {"plus": 3}, NOTHING)
    with pytest.raises(ValueError, match=r"'models.deid.nowhere.Mine' cannot be loaded .*give package.module.Class"):
        load_method("models.deid.nowhere.Mine", {}, NOTHING)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianBlur(0), "sigma: 0 must be a share"),
        (lambda: Pixelation(1.5), r"block: 1\.5 must be a share"),
        (lambda: EyeBar(top=0.6), r"eye_bar: .* is no bar"),
        (lambda: KSameMean(FACES, 10), r"k_same\.k: 10 of 9 training faces"),
        (lambda: KSameMean(FACES, 2).deidentify(FACES[:, :50, :50], NOBODY), "k_same: images of"),
        (lambda: checked(FACES.astype(float), FACES, "mine"), "mine: made float64"),
        (lambda: checked(FACES[:2], FACES, "mine"), r"mine: made uint8 \(2, 60, 60, 3\)"),
        (lambda: checked(None, FACES, "mine"), "mine: made None"),
    ],
)
def test_what_cannot_work_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
