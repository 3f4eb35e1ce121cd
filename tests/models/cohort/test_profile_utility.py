"""What the noise costs: how far published profiles lie from the patients, at three sizes of cohort, over 100 keys."""

import numpy as np
import pytest

from models.cohort.cohort_profile import Mechanism, age_bins, age_labels, cohort_profile
from models.cohort.distribution import Attributes, distances, exactly, published
from models.diseases import DISEASES, GENDERS

KEYS = 100
PHANTOM = Mechanism(3.0, 0.0, 3, (0, 20, 40, 60, 80, 101))
PHOTOS = Mechanism(2.0, 0.0, 3, (0, 20, 40, 60, 80, 101))
PAPER = Mechanism(1.0, 0.5, 5, (0, 10, 20, 30, 40, 50, 60, 70, 80, 101))
# A cohort of uneven diseases, whose ages and genders hang on them.
SHARES = (0.05, 0.13, 0.20, 0.12, 0.10, 0.10, 0.15, 0.15)


def errors(num: int, mechanism: Mechanism) -> np.ndarray:
    """Return per key: total variation of disease, age bins, gender and joint, and Wasserstein-1 of age."""
    middles = (np.array(mechanism.age_edges[1:]) + np.array(mechanism.age_edges[:-1])) / 2
    found = []
    for key in range(KEYS):
        rng = np.random.default_rng([num, key])
        disease = rng.permutation(np.arange(num) % 8) if num < 100 else rng.choice(8, num, p=np.array(SHARES))
        ages = np.clip(rng.normal(35 + 5 * disease, 15), 1, 99)
        cells = np.stack([disease, age_bins(ages, mechanism.age_edges), rng.random(num) < 0.3 + 0.05 * disease], 1)
        cells = cells.astype(np.int64)
        profile = cohort_profile(cells, mechanism, rng.bytes(32))
        patients = Attributes(cells[:, 0], middles[cells[:, 1]], cells[:, 2])
        true, told = exactly(patients), published(profile)
        labels = age_labels(mechanism.age_edges)
        joint = np.zeros((len(DISEASES), len(labels), len(GENDERS)))
        np.add.at(joint, tuple(cells.T), 1 / num)
        for cell in profile["joint"]:
            place = (DISEASES.index(cell["disease"]), labels.index(cell["age_bin"]), GENDERS.index(cell["gender"]))
            joint[place] -= cell["p"]
        bins = np.bincount(cells[:, 1], minlength=len(labels)) / num
        found.append([
            np.abs(true.disease / num - told.disease).sum() / 2, np.abs(bins - told.age_weights).sum() / 2,
            np.abs(true.gender / num - told.gender).sum() / 2, np.abs(joint).sum() / 2,
            distances(patients, told)["age"],
        ])  # fmt: skip
    return np.array(found)


@pytest.mark.parametrize(
    ("num", "mechanism", "limits"),
    [
        (24, PHANTOM, (0.16, 0.13, 0.08, 0.75, 0.05)),
        (129, PHOTOS, (0.05, 0.04, 0.03, 0.45, 0.02)),
        (3000, PAPER, (0.01, 0.01, 0.005, 0.08, 0.005)),
    ],
)
def test_the_mean_error_of_a_profile(num: int, mechanism: Mechanism, limits: tuple[float, ...]) -> None:
    found = errors(num, mechanism)
    print(num, mechanism.epsilon, found.mean(0).round(3), np.quantile(found, 0.95, axis=0).round(3))
    assert (found.mean(0) < limits).all()
    assert found.mean(0)[0] > 1e-4  # there is noise
