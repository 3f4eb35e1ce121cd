"""The phantom cohort as designed: who is ill, how often they come, and who the public are."""

from collections import Counter, defaultdict
from datetime import date

import numpy as np
import pytest

from models.diseases import DISEASES
from models.records.diagnoses import disease_of
from phantom.drawing import sample_phantom
from phantom.drawing.cohort import BOTH_EYES, VIEWERS_SIDE, VISITS, patients, public


def by_patient(num_patients: int, seed: int = 7) -> list[list]:
    visits = defaultdict(list)
    for visit in patients(num_patients, seed):
        visits[visit.record["patient_id"]].append(visit)
    return list(visits.values())


def test_visits_have_the_papers_mean_and_every_number_from_one_to_six():
    assert sum(VISITS) == pytest.approx(1)
    assert np.dot(VISITS, range(1, 7)) == pytest.approx(39323 / 12467, abs=0.01)
    numbers = Counter(len(visits) for visits in by_patient(1000))
    assert [numbers[number] for number in range(1, 7)] == [170, 200, 220, 210, 120, 80]
    assert sum(len(visits) for visits in by_patient(24)) == 76


def test_24_patients_are_three_of_each_disease_and_six_of_each_hospital():
    first = [visits[0].photo for visits in by_patient(24)]
    assert Counter(photo.disease for photo in first) == dict.fromkeys(DISEASES, 3)
    assert set(Counter(photo.shot.camera for photo in first).values()) == {6}


def test_chronic_diseases_come_back_more_often():
    visits = defaultdict(list)
    for one in by_patient(800):
        visits[one[0].photo.disease].append(len(one))
    means = {disease: np.mean(numbers) for disease, numbers in visits.items()}
    assert means["normal"] < means["conjunctivitis"] < means["ptosis"] < means["tao"]
    assert means["tao"] > means["normal"] + 1


def test_a_patient_keeps_identity_disease_eye_and_camera_while_age_follows_the_dates():
    for visits in by_patient(40):
        photos = [visit.photo for visit in visits]
        assert len({(p.disease, p.eye, p.shot.camera, p.person.seed, p.person.gender) for p in photos}) == 1
        assert all(np.array_equal(p.person.identity, photos[0].person.identity) for p in photos)
        days = [date.fromisoformat(visit.record["visit_date"]) for visit in visits]
        assert days == sorted(set(days))
        years = [(day - days[0]).days / 365.25 for day in days]
        assert [p.person.age - photos[0].person.age for p in photos] == pytest.approx(years)
        assert len({p.shot.seed for p in photos}) == len(photos)
        levels = ["slight", "mid", "heavy"]
        steps = np.diff([levels.index(p.severity) for p in photos if p.severity])
        assert np.abs(steps).max(initial=0) <= 1
    changing = [len({v.photo.severity for v in visits}) > 1 for visits in by_patient(40)]
    assert 5 < sum(changing) < 35


def test_one_sided_diseases_alternate_sides_and_the_record_has_the_patients_side():
    first = [visits[0] for visits in by_patient(160)]
    for disease in DISEASES:
        sides = Counter(visit.photo.eye for visit in first if visit.photo.disease == disease)
        assert abs(sides["left"] - sides["right"]) <= (0 if disease not in BOTH_EYES else 8)
        assert (sides["both"] > 0) == (disease in BOTH_EYES)
    assert {(v.photo.eye, v.record["eye"]) for v in first} == set(VIEWERS_SIDE.items())
    assert VIEWERS_SIDE["left"] == "right"


def test_a_record_says_what_the_photo_shows():
    for visit in patients(16, 3):
        record, photo = visit.record, visit.photo
        assert disease_of(record["diagnosis"], "") == photo.disease
        assert disease_of("", record["diagnosis_code"]) == photo.disease
        assert disease_of(record["diagnosis"], record["diagnosis_code"]) == photo.disease
        assert record["age"] == str(int(photo.person.age))
        assert record["sex"] == photo.person.gender
        assert record["file"] == photo.file


def test_the_public_is_younger_more_female_and_healthy():
    people = [photo.person for photo in public(900, 7)]
    ill = [visits[0].photo.person for visits in by_patient(24)]
    public_ages, ages = ([person.age for person in group] for group in (people, ill))
    assert np.mean(ages) == pytest.approx(160 / 3, abs=1)  # a triangle's mean is that of its corners
    assert np.mean(public_ages) == pytest.approx(119 / 3, abs=0.2)
    assert sum(person.gender == "female" for person in people) == 558
    assert sum(person.gender == "female" for person in ill) == 10
    assert min(public_ages) < 6
    assert max(public_ages) > 80
    assert {(photo.disease, photo.severity) for photo in public(50, 7)} == {("normal", "")}


def test_nobody_of_the_public_is_a_patient_or_a_face_that_the_twins_saw():
    """The twins' people are those of [seed, index]; NumPy takes [seed, index, 0] for the same seed."""
    seed = 11
    groups = [
        [visits[0].photo.person for visits in by_patient(40, seed)],
        [photo.person for photo in public(200, seed)],
        [sample_phantom(np.random.default_rng([seed, index])) for index in range(200)],
    ]
    vectors = np.concatenate([[person.identity for person in group] for group in groups])
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 2  # independent ones lie about 5.7 apart
    zero = np.random.default_rng([seed, 1, 0]).random()
    assert zero == np.random.default_rng([seed, 1]).random()


def test_the_seed_decides_everything():
    assert [v.record for v in patients(9, 1)] == [v.record for v in patients(9, 1)]
    assert [v.record for v in patients(9, 1)] != [v.record for v in patients(9, 2)]
    first, second = public(5, 1)[4], public(5, 1)[4]
    assert np.array_equal(first.person.identity, second.person.identity)
    assert first.shot == second.shot
    assert not np.array_equal(first.person.identity, public(5, 2)[4].person.identity)
