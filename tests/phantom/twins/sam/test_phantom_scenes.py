"""Scenes for SAM's twin: masks lie on what they name, and equal seeds give equal scenes."""

from pathlib import Path

import numpy as np

from models.diseases import DISEASES, TUMOURS
from phantom.twins.sam.phantom_scenes import Scenes, phantom_scenes


def scenes(folder: Path, num: int = 24) -> Scenes:
    return phantom_scenes(folder, num_scenes=num, size=96, seed=5, workers=1)


def test_scenes_are_the_same_again_and_taken_up_from_the_disk(tmp_path: Path) -> None:
    first = scenes(tmp_path)
    (file,) = tmp_path.glob("*.npz")
    stamp = file.stat().st_mtime_ns
    again = scenes(tmp_path)
    assert file.stat().st_mtime_ns == stamp
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.parts, again.parts)


def test_parts_lie_in_their_places_and_tumours_have_a_sign(tmp_path: Path) -> None:
    found = scenes(tmp_path)
    for index in range(24):
        masks, disease = found.masks(index), DISEASES[found.disease[index]]
        assert ("sign" in masks) == (disease != "normal")
        if {"pupil_left", "pupil_right"} <= masks.keys():
            assert disease == "normal" or disease in TUMOURS
            assert masks["pupil_left"].nonzero()[1].mean() < 48 < masks["pupil_right"].nonzero()[1].mean()
        if disease == "normal":
            grey, pupil, white = found.images[index].mean(2), masks["pupil_left"], masks["white_left"]
            assert grey[pupil].mean() < grey[white].mean() - 20
            assert masks["brow_left"].nonzero()[0].mean() < pupil.nonzero()[0].mean()
            assert masks["mouth"].nonzero()[0].mean() > 60
        if "white_left" in masks:
            assert not (masks["white_left"] & masks["iris_left"]).any()
