"""One person is one person in every spelling, and whoever refused anywhere is out everywhere."""

import pytest

from models.records.cells import patient_id
from models.records.identity import id_keys, persons
from tests.models.records.test_record import GOOD, reasons


def rows(*patients: str) -> list[str]:
    return [GOOD.replace("p1", name).replace("a.png", f"{n}.png") for n, name in enumerate(patients)]


@pytest.mark.parametrize("text", [
    "1.23E+05", "1,5E+03", "1E+05", "#N/A", "#REF!", "NA", "n/a", "unknown", "Unbekannt", "inconnu", "未知", "-", "--",
    "?", "0", "0000", "0.0", "null", "nan", "None", "test", "Test Patient", "anonym", "xxx", "99999", "-1",
    "2020-01-02",
    "02.01.2020",
    "Jan-02", "2-Feb", "12:30", "p1; p2", "p1 & p2", "p1, p2", "TRUE", "k.A.", "P\ufffd1",
])  # fmt: skip
def test_what_is_nobodys_id(text):
    assert patient_id(text)[1] is False


@pytest.mark.parametrize(("text", "expected"), [
    ("00123", "00123"), ("'00123", "00123"), ('="00123"', "00123"), ("１２３", "123"), ("12\u200b3", "123"),
    (" P\u00a01 ", "P 1"),
    ("12E4", "12E4"), ("MRN-12", "MRN-12"), ("Müller-1", "Müller-1"), ("p1", "p1"),
    ("7", "7"), ("1/2019/44", "1/2019/44"),
])  # fmt: skip
def test_what_is_somebodys_id(text, expected):
    assert patient_id(text) == (expected, True)


@pytest.mark.parametrize("others", [
    ("123", "00123"), ("123", "123.0"), ("123", "123,00"), ("P-1", "p1"), ("P_001", "P 1"), ("ab.12", "AB12"),
    ("12-34", "1234"),
    ("P-001-02", "p1.2"), ("P-001-02", "P00102"),
])  # fmt: skip
def test_spellings_of_one_id_are_ambiguous_for_all_until_somebody_decides(tmp_path, others):
    quoted = rows(*(f'"{name}"' for name in others), "zz")
    assert reasons(tmp_path, *quoted) == ["ambiguous_patient_id", "ambiguous_patient_id", ""]


def test_an_id_made_of_others_is_nobodys(tmp_path):
    assert reasons(tmp_path, *rows("p1", "p2", "p1/p2", "p9/p8")) == ["", "", "ambiguous_patient_id", ""]


def test_ids_that_keep_their_numbers_apart_are_different_persons(tmp_path):
    assert reasons(tmp_path, *rows("1-11", "11-1")) == ["", ""]
    assert len({person.key for person in persons(["1-11", "11-1", "p1", "p2"]).values()}) == 4
    assert id_keys("P-001-02") == ("p1-2", "p102")


@pytest.mark.parametrize("other", ["p1", "P1", "P-01", "p1 ", "p\u200b1", "p1; p9", "p9/p1"])
def test_who_refuses_anywhere_is_out_everywhere(tmp_path, other):
    refusal = f'"{other}",2021-01-02,right,H10.1,Conjunctivitis,41,F,withdrawn,other.png'
    found = reasons(tmp_path, *rows("p1", "p1", "p2"), refusal)
    assert found == ["consent_refused_elsewhere", "consent_refused_elsewhere", "", "consent_refused"]


def test_a_refusal_in_a_row_that_cannot_be_read_counts(tmp_path):
    assert reasons(tmp_path, *rows("p1", "p2"), "p1,widerrufen") == ["consent_refused_elsewhere", "", "bad_row"]


def test_two_genders_and_ages_that_run_against_the_dates(tmp_path):
    woman, man = rows("p1", "p1")
    assert reasons(tmp_path, woman, man.replace("F,", "M,"), *rows("p2")) == ["conflicting_gender"] * 2 + [""]
    older = man.replace("2020-01-02", "2022-01-02")
    assert reasons(tmp_path, woman, older.replace("40,", "42,")) == ["", ""]
    assert reasons(tmp_path, woman, older.replace("40,", "36,")) == ["conflicting_age"] * 2
    assert reasons(tmp_path, woman, older.replace("40,", "71,")) == ["conflicting_age"] * 2


def test_one_record_id_for_two_patients_is_nobodys(tmp_path):
    header = "record_id,patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"
    numbered = [f"{number},{row}" for number, row in zip((7, 7, 8, 8), rows("p1", "p2", "p3", "p3"), strict=True)]
    assert reasons(tmp_path, *numbered, header=header) == ["duplicate_id", "duplicate_id", "", ""]
