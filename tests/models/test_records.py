"""Tables in every dialect come out the same; each bad row has its reason."""

import pytest

from models.records import CODES, DIAGNOSES, TEXTS, check, disease_of, normalise, read_records

HEADER = "patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"
GOOD = "p1,2020-01-02,right,H10.1,Conjunctivitis,40,F,yes,a.png"


def reasons(tmp_path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> list[str]:
    path = tmp_path / "records.csv"
    path.write_bytes("\n".join([header, *rows]).encode(encoding))
    return check(normalise(read_records(path)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_dialects_read_alike(tmp_path, encoding, delimiter):
    path = tmp_path / "records.csv"
    row = GOOD.replace("p1", "Müller-1").replace("F,", "männlich,")
    path.write_bytes(f"{HEADER}\r\n{row}\r\n".replace(",", delimiter).encode(encoding))
    frame = normalise(read_records(path))
    assert check(frame) == [""]
    first = frame.iloc[0]
    assert (first["patient_id"], first["gender"], first["disease"], first["age"], first["eye"]) == (
        "Müller-1", "male", "conjunctivitis", 40, "right")  # fmt: skip


BAD = {
    "unknown_disease": GOOD.replace("H10.1,Conjunctivitis", "H40.1,Glaucoma"),
    "diagnosis_conflict": GOOD.replace("Conjunctivitis", "Uveitis"),
    "missing_consent": GOOD.replace("yes", ""),
    "consent_refused": GOOD.replace("yes", "No"),
    "impossible_age": GOOD.replace("40", "140"),
    "missing_patient_id": GOOD.replace("p1", ""),
    "no_file_named": GOOD.replace("a.png", ""),
    "path_outside": GOOD.replace("a.png", "../a.png"),
    "impossible_date": GOOD.replace("2020-01-02", "2020-02-30"),
    "bad_row": GOOD + ",one cell too many",
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_has_its_reason_and_spares_its_neighbour(tmp_path, reason):
    assert reasons(tmp_path, BAD[reason], GOOD.replace("a.png", "b.png")) == [reason, ""]


@pytest.mark.parametrize("age", ["-1", "abc", "1e9", "nan", "0x10"])
def test_impossible_ages(tmp_path, age):
    assert reasons(tmp_path, GOOD.replace("40", age)) == ["impossible_age"]


def test_no_age_and_no_gender_are_allowed(tmp_path):
    assert reasons(tmp_path, GOOD.replace("40,F", ",")) == [""]


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b.png", "..\\b.png", "\\\\server\\b.png"])
def test_paths_that_lead_out(tmp_path, path):
    assert reasons(tmp_path, GOOD.replace("a.png", path)) == ["path_outside"]


def test_a_file_named_twice(tmp_path):
    assert reasons(tmp_path, GOOD, GOOD) == ["", "file_named_twice"]
    other = GOOD.replace("p1", "p2").replace("a.png", "./a.png")
    assert reasons(tmp_path, GOOD, other) == ["file_named_twice"] * 2


def test_duplicate_record_ids_and_two_people_under_one_id(tmp_path):
    rows = [f"{i},{GOOD.replace('a.png', name)}" for i, name in [("7", "a"), ("7", "b"), ("8", "c")]]
    assert reasons(tmp_path, *rows, header="record_id," + HEADER) == ["", "duplicate_id", ""]
    man = GOOD.replace("F,", "M,").replace("a.png", "b.png")
    assert reasons(tmp_path, GOOD, man) == ["conflicting_gender"] * 2


@pytest.mark.parametrize(("text", "code", "expected"), [
    ("Basal-Cell Carcinoma", "", "bcc"), ("", "c44.1121", "bcc"), ("SCC", "C44.122", "scc"),
    ("Graves' ophthalmopathy", "E05.0", "tao"), ("", "H02.401", "ptosis"), ("Squint", "H50.0", "strabismus"),
    ("normal", "H40.1", "conflict"), ("something else", "H10.1", "conflict"), ("", "C44.1", "unknown"),
    ("", "", "unknown"), ("healthy", "Z01.00", "normal"), ("iritis", "H20.0", "uveitis"),
])  # fmt: skip
def test_diagnoses_map_in_one_table(text, code, expected):
    assert disease_of(text, code) == expected


def test_no_synonym_or_code_belongs_to_two_classes():
    assert len(TEXTS) == sum(len(texts) for texts, _ in DIAGNOSES.values())
    assert len(CODES) == sum(len(codes) for _, codes in DIAGNOSES.values())


def test_an_unusable_table_says_what_to_add(tmp_path):
    with pytest.raises(ValueError, match="lacks the column consent"):
        reasons(tmp_path, GOOD, header=HEADER.replace("consent", "notes"))
    with pytest.raises(ValueError, match="several columns for age"):
        reasons(tmp_path, GOOD, header=HEADER.replace("eye", "alter"))
    with pytest.raises(ValueError, match="empty"):
        reasons(tmp_path, header="")
