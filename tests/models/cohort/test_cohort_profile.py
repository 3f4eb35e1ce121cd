"""The published profile keeps its margins, hides every patient, and cannot be subtracted from another version."""

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from models.cohort.cohort_profile import (
    AXES,
    Mechanism,
    age_bins,
    age_labels,
    cells_of,
    cohort_profile,
    counts_of,
    noisy_margins,
    one_photo_each,
    version_of,
)
from models.diseases import DISEASES, GENDERS

EDGES = (0, 20, 40, 60, 80, 101)
NAMES = (DISEASES, tuple(age_labels(EDGES)), GENDERS)
# Noise of 1e-200: what was published before there was any.
EXACT = Mechanism(epsilon=1e4, joint_share=0.0, min_cell=1, age_edges=EDGES)
PHANTOM = Mechanism(epsilon=3.0, joint_share=0.0, min_cell=3, age_edges=EDGES)
PAPER = Mechanism(epsilon=1.0, joint_share=0.5, min_cell=5, age_edges=EDGES)


def cohort(n: int, seed: int = 0) -> np.ndarray:
    """One row a patient, diseases in turn as the phantoms' are, ages and genders that hang on them."""
    rng = np.random.default_rng(seed)
    disease = rng.permutation(np.arange(n) % len(DISEASES))
    ages = np.clip(rng.normal(30 + 6 * disease, 15), 1, 99)
    return np.stack([disease, age_bins(ages, EDGES), rng.random(n) < 0.3 + 0.05 * disease], 1).astype(int)


def key_of(number: int) -> bytes:
    return hashlib.sha256(b"key %d" % number).digest()


def publish(cells: np.ndarray, mechanism: Mechanism, key: bytes) -> dict[str, Any]:
    patients = [f"p{row}" for row in cells.tolist()]
    return cohort_profile(cells, mechanism, version_of(patients, cells, mechanism, key))


def guess(before: dict[str, Any], after: dict[str, Any], n: int) -> tuple[int, ...]:
    """Whom two versions tell by subtraction, to somebody who knows that one of n patients left: the largest fall."""
    found = []
    for axis, labels in zip(AXES, NAMES, strict=True):
        shares = [np.array([version[axis][label] for label in labels]) for version in (before, after)]
        found.append(int(np.argmax(shares[0] * n - shares[1] * (n - 1))))
    return tuple(found)


def test_two_exact_versions_tell_who_left_and_two_private_ones_do_not() -> None:
    cells = cohort(24)
    told: dict[Mechanism, int] = dict.fromkeys((EXACT, PHANTOM, Mechanism(1.0, 0.0, 3, EDGES)), 0)
    tries = 0
    for left in range(len(cells)):
        for number in range(5):
            tries += 1
            for mechanism in told:
                versions = (cells, np.delete(cells, left, axis=0))
                pair = [publish(version, mechanism, key_of(number)) for version in versions]
                told[mechanism] += guess(pair[0], pair[1], len(cells)) == tuple(cells[left].tolist())
    shares = [count / tries for count in told.values()]
    assert shares[0] == 1.0
    assert shares[1] < 0.2  # epsilon 3; 1/80 is chance
    assert shares[2] < 0.05  # epsilon 1


def score(cells: np.ndarray, mechanism: Mechanism, number: int, patient: np.ndarray) -> float:
    """The log likelihood ratio of the patient having taken part, by the best attacker, who knows all others."""
    key = version_of([str(row) for row in cells.tolist()], cells, mechanism, key_of(number))
    margins, parts = noisy_margins(counts_of(cells, mechanism), mechanism, key)
    without = counts_of(cells[:23], mechanism)
    total = 0.0
    for axis, (noisy, epsilon) in enumerate(zip(margins, parts, strict=True)):
        others = tuple(o for o in range(3) if o != axis)
        base = without.sum(axis=others)[patient[axis]]
        value = noisy[patient[axis]]
        total += epsilon * (abs(value - base) - abs(value - base - 1))
    return total


def bounds(hits: int, n: int, level: float = 1e-4) -> tuple[float, float]:
    low = float(beta.ppf(level, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - level, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


@pytest.mark.parametrize("mechanism", [PHANTOM, Mechanism(1.0, 0.0, 3, EDGES)])
def test_the_best_attacker_gains_no_more_than_epsilon(mechanism: Mechanism) -> None:
    """For every threshold of the likelihood ratio, hits are at most e^epsilon times false alarms, and almost that."""
    cells, tries = cohort(24), 6000
    patient = cells[23]
    taken = np.array([score(cells, mechanism, k, patient) for k in range(tries)])
    absent = np.array([score(cells[:23], mechanism, tries + k, patient) for k in range(tries)])
    assert np.abs([*taken, *absent]).max() <= mechanism.epsilon + 1e-9
    worst = []
    for threshold in np.unique(np.round(np.concatenate([taken, absent]), 6)):
        for a, b in ((taken, absent), (-absent, -taken)):
            hits, alarms = (int((part >= threshold - 1e-6).sum()) for part in (a, b))
            assert bounds(hits, tries)[0] <= math.exp(mechanism.epsilon) * bounds(alarms, tries)[1]
            worst.append(bounds(hits, tries)[0] / bounds(alarms, tries)[1])
    # Half the noise would be seen: the same mechanism does not keep to two thirds of its epsilon.
    assert max(worst) > math.exp(mechanism.epsilon * 2 / 3)


def test_noise_is_fresh_where_anything_differs_and_the_same_where_nothing_does() -> None:
    cells = cohort(60)
    patients = [f"p{k}" for k in range(60)]
    key = key_of(1)
    version = version_of(patients, cells, PAPER, key)
    order = np.random.default_rng(1).permutation(60)
    assert version_of([patients[k] for k in order], cells[order], PAPER, key) == version
    moved = cells.copy()
    moved[5, 1] = (moved[5, 1] + 1) % 5
    others = {
        version_of(patients[1:], cells[1:], PAPER, key),
        version_of(["q", *patients[1:]], cells, PAPER, key),
        version_of(patients, moved, PAPER, key),
        version_of(patients, cells, PHANTOM, key),
        version_of(patients, cells, PAPER, key_of(2)),
    }
    assert len(others | {version}) == 6
    counts = counts_of(cells, PAPER)
    noise = [np.concatenate(noisy_margins(counts, PAPER, v)[0]) for v in (version, *others)]
    assert all((noise[0] != other).any() for other in noise[1:])


def test_a_patient_counts_once_however_many_photos_there_are() -> None:
    patients, photos = ["a", "b", "a", "a", "c", "b"], ["9", "5", "2", "7", "1", "8"]
    assert one_photo_each(patients, photos) == [1, 2, 4]
    # b leaves: nobody else's photo changes.
    rows = [row for row in range(6) if patients[row] != "b"]
    kept = one_photo_each([patients[row] for row in rows], [photos[row] for row in rows])
    assert [photos[rows[row]] for row in kept] == ["2", "1"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mechanism", [PHANTOM, PAPER])
def test_the_joint_keeps_its_margins_and_sums_to_one(seed: int, mechanism: Mechanism) -> None:
    value = publish(cohort(130, seed), mechanism, key_of(seed))
    assert sum(cell["p"] for cell in value["joint"]) == pytest.approx(1, abs=1e-5)
    for axis, name in (("disease", "disease"), ("age", "age_bin"), ("gender", "gender")):
        assert sum(value[axis].values()) == pytest.approx(1, abs=1e-6)
        for label, share in value[axis].items():
            found = sum(cell["p"] for cell in value["joint"] if cell[name] == label)
            assert found == pytest.approx(share, abs=1e-4)


def test_without_noise_the_margins_are_the_patients() -> None:
    cells = cohort(40)
    value = publish(cells, EXACT, key_of(0))
    for k, disease in enumerate(DISEASES):
        assert value["disease"][disease] == pytest.approx((cells[:, 0] == k).mean())
    assert value["gender"]["female"] == pytest.approx((cells[:, 2] == 0).mean())


def test_a_joint_with_its_share_of_epsilon_knows_who_goes_with_what() -> None:
    """Of 3,000 patients the joint is told; from margins alone young men with tao and old women would be equal."""
    cells = np.concatenate([[[7, 1, 1]] * 1500, [[1, 3, 0]] * 1500])
    value = publish(cells, PAPER, key_of(3))
    p = {(c["disease"], c["age_bin"], c["gender"]): c["p"] for c in value["joint"]}
    assert p["tao", "20-40", "male"] > 0.45
    assert p["bcc", "60-80", "female"] > 0.45
    product = publish(cells, Mechanism(1.0, 0.0, 5, EDGES), key_of(3))
    assert max(c["p"] for c in product["joint"]) < 0.2


def test_nothing_exact_is_published() -> None:
    value = publish(cohort(24), PHANTOM, key_of(0))
    assert value.keys() == {"age_edges", "min_cell", "privacy", "joint", "disease", "age", "gender"}
    assert value["privacy"]["epsilon"] == 3.0


def test_too_few_patients_or_too_much_noise_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"min_cell: 3 is more than the cohort's 2 patients; ingest more"):
        publish(cohort(2), PHANTOM, key_of(0))
    faint = Mechanism(1e-3, 0.0, 1, EDGES)
    silenced = next(n for n in range(60) if not _heard(faint, key_of(n)))
    with pytest.raises(ValueError, match="above the noise; raise it, or ingest more patients"):
        publish(cohort(2), faint, key_of(silenced))


def _heard(mechanism: Mechanism, key: bytes) -> bool:
    """Tell whether the noise leaves every margin a count."""
    cells = cohort(2)
    version = version_of([f"p{row}" for row in cells.tolist()], cells, mechanism, key)
    return all((margin > 0).any() for margin in noisy_margins(counts_of(cells, mechanism), mechanism, version)[0])


def test_bins_hold_their_lower_edge() -> None:
    assert age_labels(EDGES) == ["0-20", "20-40", "40-60", "60-80", "80-101"]
    assert age_bins(np.array([0, 19.9, 20, 100, 120, -1]), EDGES).tolist() == [0, 0, 1, 4, 4, 0]
    assert cells_of(["bcc"], np.array([99.0]), ["male"], EDGES).tolist() == [[1, 4, 1]]
