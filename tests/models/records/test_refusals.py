"""A refusal that is spelled, placed or damaged as nobody foresaw still puts its patient out."""

from pathlib import Path

import pytest

from models.records import cells
from models.records.identity import judge_persons
from models.records.record import read_records

HEADING = "patient_id,file,consent,diagnosis"
YES = ["P1,a.jpg,yes,BCC", "P2,b.jpg,yes,BCC"]


def kept(tmp_path: Path, lines: list[str], encoding: str = "utf-8") -> set[str]:
    """Return the patients that nothing speaks against."""
    (tmp_path / "records.csv").write_bytes("\n".join(lines).encode(encoding, "surrogateescape"))
    records, _, _ = read_records(tmp_path / "records.csv")
    judge_persons(records)
    return {record.patient_id for record in records if not record.reason}


@pytest.mark.parametrize("consent", [
    "Wiederruf", "lehnt ab", "disagree", "nee", "gelöscht", "已取消", "yes until 2020", "ja, bis 2020", "??", "2", "✗",
    "ret\ufffdr\ufffd", "ä¸å", "ja, aber nicht für KI", "pending", "d'accord?", "r\udce9fus", "n\0o",
])  # fmt: skip
def test_a_consent_that_is_no_plain_yes_puts_the_patients_other_photos_out(tmp_path, consent):
    lines = [HEADING, *YES, f'P1,c.jpg,"{consent}",BCC']
    assert kept(tmp_path, lines) == {"P2"}


@pytest.mark.parametrize("consent", ["", "-", "n/a", "unbekannt", "未知"])
def test_a_consent_that_is_not_stated_costs_its_own_photo(tmp_path, consent):
    records = [HEADING, *YES, f"P1,c.jpg,{consent},BCC", f"P3,d.jpg,{consent},BCC"]
    assert kept(tmp_path, records) == {"P1", "P2"}


@pytest.mark.parametrize(("heading", "cell"), [
    ("Widerrufsdatum", "3.5.2024"), ("date of withdrawal", "2024-05-03"), ("retrait le", "oui"), ("撤回日期", "2024"),
    ("opt_out_date", "x"), ("revoked_at", "✓"), ("Patient refuses", "yes"), ("Consent for AI", "no"),
    ("Einwilligung KI", "0"), ("Bemerkung", "Pat. hat Einwilligung widerrufen"), ("notes", "no consent any more"),
    ("weight", "does not want her photo used"), ("remarque", "ne veut pas que la photo soit publiée"),
    ("备注", "患者已撤回"), ("", "Bild bitte löschen"),
])  # fmt: skip
def test_a_refusal_in_another_column_is_heard(tmp_path, heading, cell):
    lines = [f"{HEADING},{heading}", *(line + "," for line in YES), f"P1,c.jpg,yes,BCC,{cell}"]
    assert kept(tmp_path, lines) == {"P2"}


@pytest.mark.parametrize(("heading", "cell"), [
    ("Widerrufsdatum", "0000-00-00"), ("withdrawal date", "-"), ("retrait le", "non"), ("Widerruf", "nein"),
    ("consent date", "3.5.2020"), ("Consent for AI", "yes"), ("remarks", "photo not sharp"),
    ("remarks", "no surgery wanted"), ("objective refraction", "-1.25"), ("Bemerkung", "Bild unscharf, keine Brille"),
])  # fmt: skip
def test_a_cell_of_another_column_that_refuses_nothing_costs_nothing(tmp_path, heading, cell):
    lines = [f"{HEADING},{heading}", *(f'{line},"{cell}"' for line in YES)]
    assert kept(tmp_path, lines) == {"P1", "P2"}


def test_a_photos_row_that_lost_its_consent_may_have_refused(tmp_path):
    assert kept(tmp_path, [HEADING, *YES, "P1,c.jpg"]) == {"P2"}
    assert kept(tmp_path, [HEADING, *YES, "Total: 1"]) == {"P1", "P2"}


def test_only_what_states_nothing_is_empty():
    assert not any(map(cells.is_empty, ["✓", "☒", "+", "*", "!", "?", "X"]))
    assert all(map(cells.is_empty, ["", " - ", "...", "/", "—", "N/A"]))


@pytest.mark.parametrize(("own", "written"), [
    ("123", "MRN 123"), ("123", "123 (neu)"), ("123", "123a"), ("P123", "123"), ("123", "1.23E+02"), ("P1", "Р1"),
    ("2-1", "02.Jan"), ("MAR1", "1. Mrz"), ("123", "123 od. 124"), ("P1", ""), ("P1", "dito"),
])  # fmt: skip
def test_a_refusal_reaches_whoever_its_id_may_mean(tmp_path, own, written):
    lines = [HEADING, "P2,b.jpg,yes,BCC", f"{own},a.jpg,yes,BCC", f"{written},c.jpg,no,BCC"]
    assert kept(tmp_path, lines) == {"P2"}


def test_an_id_that_others_have_too_is_nobody_elses(tmp_path):
    lines = [HEADING, "12-3,a.jpg,no,BCC", "12,b.jpg,yes,BCC", "Q12,c.jpg,yes,BCC"]
    assert kept(tmp_path, lines) == {"12", "Q12"}


@pytest.mark.parametrize(("heading", "cell", "left"), [
    ("Nebendiagnose", "Uveitis", {"P2"}), ("ICD-10 2", "H20.0", {"P2"}), ("诊断2", "葡萄膜炎", {"P2"}),
    ("diagnosis 2", "BCC", {"P1", "P2"}), ("diagnosis date", "3.5.2020", {"P1", "P2"}),
])  # fmt: skip
def test_a_further_diagnosis_of_another_class_costs_the_photo(tmp_path, heading, cell, left):
    assert kept(tmp_path, [f"{HEADING},{heading}", f"{YES[0]},{cell}", YES[1] + ","]) == left


@pytest.mark.parametrize("lines", [
    ["P1,a.jpg,no,BCC", HEADING, *YES],
    [HEADING + ",note", *(line + "," for line in YES), 'P3,c,yes,BCC,"x', 'P1,y,no"'],
])  # fmt: skip
def test_a_record_outside_the_table_is_no_title_and_no_remark(tmp_path, lines):
    with pytest.raises(ValueError, match=r"looks like (a record|further records)"):
        kept(tmp_path, lines)


@pytest.mark.parametrize(
    "written", ["Patient P001", "P001 Meier", "P001_withdrawn", "P001 (alt: Q7)", "ID: P001", "Pat.-Nr. 001"]
)
def test_a_refusal_reaches_an_id_to_which_something_was_written(tmp_path, written):
    lines = [HEADING, "P001,a.jpg,yes,BCC", "P002,b.jpg,yes,BCC", f"{written},,withdrawn,"]
    assert kept(tmp_path, lines) == {"P002"}


@pytest.mark.parametrize(
    "written", ["do not use!", "nicht mehr verwenden", "Zusage zurückgenommen", "gesperrt", "GDPR erasure request",
                "DSGVO Art. 17 Antrag", "Patient möchte nicht mehr teilnehmen", "ne souhaite plus participer",
                "study exit on own wish", "要求删除"],
)  # fmt: skip
def test_remarks_that_end_consent_in_words_of_other_clinics(tmp_path, written):
    lines = [f"{HEADING},remark", f"P001,a.jpg,yes,BCC,{written}", "P002,b.jpg,yes,BCC,left eye swollen"]
    assert kept(tmp_path, lines) == {"P002"}


@pytest.mark.parametrize("heading", ["Do not use", "Sperrvermerk", "Dropout", "Excluded", "Einw_zurueck"])
def test_columns_that_end_consent_in_words_of_other_clinics(tmp_path, heading):
    lines = [f"{HEADING},{heading}", "P001,a.jpg,yes,BCC,x", "P002,b.jpg,yes,BCC,"]
    assert kept(tmp_path, lines) == {"P002"}


def test_a_coding_in_a_heading_without_brackets_counts(tmp_path):
    lines = [f"{HEADING},Withdrawn? 0=yes 1=no", "P001,a.jpg,yes,BCC,0", "P002,b.jpg,yes,BCC,1"]
    assert kept(tmp_path, lines) == {"P002"}


@pytest.mark.parametrize("line", ["Total withdrawn: P001,,,", "End,P001 withdrew,,"])
def test_a_sum_below_the_table_that_tells_of_a_withdrawal_counts(tmp_path, line):
    lines = [HEADING, "P001,a.jpg,yes,BCC", "P002,b.jpg,yes,BCC", line]
    assert kept(tmp_path, lines) == {"P002"}


def test_a_title_that_tells_of_a_withdrawal_refuses_the_table(tmp_path):
    with pytest.raises(ValueError, match="line 1 stands before the heading and tells of a refusal"):
        kept(tmp_path, ["Withdrawn since: P001", HEADING, "P001,a.jpg,yes,BCC"])


def test_a_withdrawal_by_the_record_s_id_counts(tmp_path):
    lines = [f"{HEADING},record_id", "P001,a.jpg,yes,BCC,1", "P002,b.jpg,yes,BCC,2", "unknown,,withdrawn,,1"]
    assert "P001" not in kept(tmp_path, lines)
