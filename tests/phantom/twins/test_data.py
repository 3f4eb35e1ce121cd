"""Rendered training photos: truths fit the pixels, and a killed rendering is taken up."""

import numpy as np
import pytest

from phantom.twins import data as phantom_data
from phantom.twins.data import phantom_photos


def photos(folder, **changes):
    values = {"num_identities": 4, "shots": 2, "sign_share": 0.5, "size": 64, "seed": 3, "workers": 1}
    return phantom_photos(folder, **(values | changes))


def test_rows_are_shots_of_people_in_order(tmp_path):
    found = photos(tmp_path / "a", sign_share=1.0)
    assert found.images.shape == (8, 64, 64, 3)
    assert found.identity.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (found.disease > 0).all()
    assert (found.severity >= 0).all()
    assert np.array_equal(found.traits[0], found.traits[1])
    assert not np.array_equal(found.images[0], found.images[1])
    assert (photos(tmp_path / "b", sign_share=0.0).disease == 0).all()


def test_a_killed_rendering_ends_with_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom_data, "CHUNK", 2)
    whole = photos(tmp_path / "whole")
    photos(tmp_path / "part")
    marks = sorted((tmp_path / "part").glob("labels-*.npz"))
    marks[1].unlink()
    kept = marks[0].stat().st_mtime_ns
    resumed = photos(tmp_path / "part")
    assert marks[0].stat().st_mtime_ns == kept
    assert np.array_equal(whole.images, resumed.images)
    assert np.array_equal(whole.age, resumed.age)


def test_other_numbers_in_the_same_folder_are_refused(tmp_path):
    photos(tmp_path / "a")
    with pytest.raises(ValueError, match=r"delete .* to render again"):
        photos(tmp_path / "a", size=72)
