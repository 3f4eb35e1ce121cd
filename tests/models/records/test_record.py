"""Tables in every dialect come out the same; each row that cannot be used has its reason, the line and the cell."""

import math

import pytest

from models.records.identity import judge_persons
from models.records.record import Record, read_records

HEADER = "patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"
GOOD = "p1,2020-01-02,right,H10.1,Conjunctivitis,40,F,yes,a.png"


def read(tmp_path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> list[Record]:
    """Return the judged records of a table."""
    path = tmp_path / "records.csv"
    path.write_bytes("\n".join([header, *rows]).encode(encoding))
    records, _, _ = read_records(path)
    judge_persons(records)
    return records


def reasons(tmp_path, *rows: str, **dialect) -> list[str]:
    return [record.reason for record in read(tmp_path, *rows, **dialect)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_dialects_read_alike(tmp_path, encoding, delimiter):
    path = tmp_path / "records.csv"
    row = GOOD.replace("p1", "Müller-1").replace("F,", "männlich,")
    path.write_bytes(f"{HEADER}\r\n{row}\r\n".replace(",", delimiter).encode(encoding))
    ((record,), table, _) = read_records(path)
    assert record.reason == ""
    assert (record.patient_id, record.gender, record.disease, record.age, record.eye, record.visit_date) == (
        "Müller-1", "male", "conjunctivitis", 40, "right", "2020-01-02")  # fmt: skip
    assert table.lines == {"heading": 1, "records": 1, "preamble": 0}


BAD = {
    "unknown_disease": GOOD.replace("H10.1,Conjunctivitis", "H40.1,Glaucoma"),
    "diagnosis_conflict": GOOD.replace("Conjunctivitis", "Uveitis"),
    "several_diagnoses": GOOD.replace("H10.1", "H10.1+H20.0"),
    "doubtful_diagnosis": GOOD.replace("Conjunctivitis", "Conjunctivitis?"),
    "missing_consent": GOOD.replace("yes", "pending"),
    "consent_refused": GOOD.replace("yes", "No"),
    "missing_patient_id": GOOD.replace("p1", ""),
    "invalid_patient_id": GOOD.replace("p1", "#N/A"),
    "no_file_named": GOOD.replace("a.png", ""),
    "bad_row": GOOD + ",one cell too many",
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_has_its_reason_and_spares_its_neighbour(tmp_path, reason):
    neighbour = GOOD.replace("p1", "p2").replace("a.png", "b.png")
    bad, other = read(tmp_path, BAD[reason], neighbour)
    assert (bad.reason, other.reason) == (reason, "")
    assert bad.detail.startswith("line 2: ")
    assert "found" in bad.detail
    assert "expected" in bad.detail


def test_a_reason_names_the_column_the_cell_and_what_is_allowed(tmp_path):
    header = HEADER.replace("consent", "Einwilligung")
    (record,) = read(tmp_path, GOOD.replace("yes", "vielleicht"), header=header)
    assert record.detail == (
        'line 2: column "Einwilligung": found "vielleicht"; expected yes or no, ja or nein, oui or non, 是 or 否'
    )


@pytest.mark.parametrize(
    ("old", "new", "flag"),
    [
        ("40", "-1", "age_not_understood"), ("40", "abc", "age_not_understood"), ("40", "140", "age_not_understood"),
        ("40", "1e9", "age_not_understood"), ("40", "40-50", "age_not_understood"), ("F", "Q", "gender_not_understood"),
        ("right", "upper", "eye_not_understood"), ("2020-01-02", "2020-02-30", "visit_date_not_understood"),
        ("2020-01-02", "02.01.20", "visit_date_not_understood"),
    ],
)  # fmt: skip
def test_an_optional_cell_that_is_not_understood_keeps_the_row_with_a_flag_and_is_counted(tmp_path, old, new, flag):
    path = tmp_path / "records.csv"
    path.write_text(f"{HEADER}\n{GOOD.replace(old, new, 1)}\n")
    (record,), _, unread = read_records(path)
    assert (record.reason, record.flags) == ("", [flag])
    assert unread == {flag.removesuffix("_not_understood"): 1}


def test_no_age_and_no_gender_are_allowed_and_are_no_flag(tmp_path):
    (record,) = read(tmp_path, GOOD.replace("40,F", ",unbekannt"))
    assert (record.reason, record.flags, record.gender, math.isnan(record.age)) == ("", [], "", True)


def test_headings_in_four_languages_with_units_and_codings(tmp_path):
    german = (
        "Patienten-Nr.;Untersuchungsdatum;Seite;Diagnose (ICD-10);Diagnose;Alter (Jahre);"
        "Geschlecht;Einwilligung;Dateiname"
    )
    french = (
        "Identifiant patient;Date de visite;Œil atteint;Code CIM-10;Diagnostic;Âge (ans);"
        "Sexe;Consentement éclairé;Fichier"
    )
    chinese = "患者编号;就诊日期;眼别;疾病编码;诊断;年龄(岁);性别;知情同意;文件名"
    rows = {
        german: "p1;02.01.2020;RA;H10.1;Bindehautentzündung;40,5;Frau;ja;a.png",
        french: "p1;2 janvier 2020;droit;H10.1;Conjonctivite;40,5 ans;femme;oui;a.png",
        chinese: "p1;2020年1月2日;右眼;H10.1;结膜炎;40.5岁;女;是;a.png",
    }
    for header, row in rows.items():
        for encoding in ("utf-8", "gb18030" if header == chinese else "cp1252"):
            (record,) = read(tmp_path, row, header=header, encoding=encoding)
            assert (record.reason, record.flags, record.disease, record.age) == ("", [], "conjunctivitis", 40.5)
            assert (record.gender, record.eye, record.visit_date) == ("female", "right", "2020-01-02")


def test_a_unit_or_a_coding_in_a_heading_counts(tmp_path):
    header = (
        HEADER.replace("age", "Age (months)")
        .replace("sex", '"Sex (1=female, 2=male)"')
        .replace("consent", '"Consent (0=yes, 1=no)"')
    )
    rows = [GOOD.replace("F,yes", code).replace("p1", name).replace("a.png", f"{name}.png")
            for name, code in (("p1", "1,0"), ("p2", "2,0"), ("p3", "1,1"), ("p4", "7,7"))]  # fmt: skip
    first, second, third, fourth = read(tmp_path, *rows, header=header)
    assert (first.reason, first.gender, first.age) == ("", "female", pytest.approx(40 / 12))
    assert (second.reason, second.gender) == ("", "male")
    assert third.reason == "consent_refused"
    assert (fourth.reason, fourth.flags) == ("missing_consent", ["gender_not_understood"])


def test_dates_of_a_column_that_also_has_month_first_are_not_guessed(tmp_path):
    rows = [GOOD.replace("2020-01-02", day).replace("a.png", f"{i}.png")
            for i, day in enumerate(("04/13/2020", "04/05/2020", "2020-04-06", "07.04.2020"))]  # fmt: skip
    assert [r.visit_date for r in read(tmp_path, *rows)] == ["", "", "2020-04-06", "2020-04-07"]
    assert [r.visit_date for r in read(tmp_path, *rows[1:])] == ["2020-05-04", "2020-04-06", "2020-04-07"]


def test_a_column_of_withdrawals_refuses_whatever_the_consent_says(tmp_path):
    rows = [GOOD.replace("p1", f"p{i}").replace("a.png", f"{i}.png") + f",{cell}"
            for i, cell in enumerate(("", "no", "03.04.2021", "x", "unknown"), 1)]  # fmt: skip
    found = reasons(tmp_path, *rows, header=HEADER + ",Widerruf am")
    assert found == ["", "", "consent_refused", "consent_refused", ""]
