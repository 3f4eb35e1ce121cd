"""ID-Dis, its interval over patients, and the match rate, against values computed by hand."""

import numpy as np
import pytest

from models.statistics.identity_distance import identity_distance, match_rate, mean_over_patients, rate, unavailable
from models.statistics.leakage import wilson_interval


def at(*degrees: float) -> np.ndarray:
    """Return unit vectors of the plane at these angles."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def test_the_distance_is_the_chord_of_the_angle():
    found = identity_distance(at(0, 0, 0, 0), at(0, 60, 90, 180))
    np.testing.assert_allclose(found, [0, 1, np.sqrt(2), 2], atol=1e-6)
    cosine = 0.07
    assert identity_distance(at(0), at(np.degrees(np.arccos(cosine))))[0] == pytest.approx(1.364, abs=1e-3)
    with pytest.raises(ValueError, match="other: features are not normalised to 1"):
        identity_distance(at(0), 2 * at(0))


def test_the_interval_resamples_patients_with_all_their_images():
    values, patients = np.array([0.0] * 30 + [1.0] * 10 + [0.5]), ["a"] * 30 + ["b"] * 10 + ["c"]
    found = mean_over_patients(values, patients, seed=3, num_resamples=4000)
    assert found["value"] == round(values.mean(), 4)
    assert (found["n"], found["patients"]) == (41, 3)
    rng = np.random.default_rng(0)
    groups = [values[np.array(patients) == name] for name in "abc"]
    means = [np.concatenate([groups[i] for i in rng.integers(3, size=3)]).mean() for _ in range(4000)]
    np.testing.assert_allclose(found["ci95"], np.quantile(means, (0.025, 0.975)), atol=0.03)
    assert found["ci95"] == [0.0, 1.0]  # images resampled one by one would promise 0.15 to 0.4


def test_order_and_names_of_patients_do_not_matter_and_seeds_do():
    rng = np.random.default_rng(1)
    values, patients = rng.random(60), [f"p{i % 12:02d}" for i in range(60)]
    found = mean_over_patients(values, patients, seed=3)
    order = rng.permutation(60)
    assert mean_over_patients(values[order], [patients[i] for i in order], seed=3) == found
    assert mean_over_patients(values, patients, seed=4) != found


def test_one_patient_has_no_interval_and_nothing_has_a_reason():
    assert mean_over_patients(np.array([1.0, 2.0]), ["a", "a"], seed=0)["ci95"] == [None, None]
    assert mean_over_patients(np.zeros(0), [], seed=0) == unavailable("no image")
    with pytest.raises(ValueError, match="patients: 1 for 2 values"):
        mean_over_patients(np.zeros(2), ["a"], seed=0)


def test_the_match_rate_counts_whose_nearest_photo_is_their_own():
    gallery, owners = at(0, 90, 180, 200), ["a", "b", "c", "c"]
    found = match_rate(at(10, 80, 100, 195), ["a", "b", "a", "c"], gallery, owners)
    assert found["value"] == 0.75
    assert (found["n"], found["gallery"]) == (4, 4)
    assert found["chance"] == pytest.approx((0.25 + 0.25 + 0.25 + 0.5) / 4, abs=1e-4)
    np.testing.assert_allclose(found["ci95"], wilson_interval(3, 4), atol=1e-4)
    with pytest.raises(ValueError, match="1 of 2 people have no photo in it"):
        match_rate(at(0, 1), ["a", "z"], gallery, owners)


def test_wilson_as_published():
    # Newcombe 1998, Table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert rate(hits, n)["ci95"] == [low, high]
