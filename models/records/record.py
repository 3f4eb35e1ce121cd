"""A row of the table in our vocabulary, with the reason against it that it gives by itself."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from models.diseases import DISEASES
from models.reasons import known
from models.records import cells
from models.records.diagnoses import CODE, CONFLICT, DOUBTFUL, SEVERAL, UNKNOWN, disease_of
from models.records.headings import NAMES, Column
from models.records.reading import PICTURE_NAME, Row, Table, read_table
from models.records.vocabulary import visible

# The first that fits is a record's reason; later ones are judged over all rows of a person or a file
EXPECTED = {
    "bad_row": "", "bad_encoding": "",
    "consent_refused": "consent for this photo, and none withdrawn",
    "missing_consent": "yes or no, ja or nein, oui or non, 是 or 否",
    "missing_patient_id": "the patient's id",
    "invalid_patient_id": "one patient's own id as text, no placeholder, date or rounded number",
    "no_file_named": "the photo's path below the source folder",
    "doubtful_diagnosis": "a diagnosis without doubt, exclusion or history",
    "several_diagnoses": "one class of disease for one photo",
    "diagnosis_conflict": "a text and an ICD-10 code of one class",
    "unknown_disease": f"one of {', '.join(DISEASES)}, by name or ICD-10 code",
}  # fmt: skip
OPTIONAL = {
    "age": f"years from 0 to {cells.MAX_AGE}, or a unit behind the number",
    "gender": "f or m, female or male, Frau or Mann, 女 or 男, 2 or 1",
    "eye": "right, left or both; OD, OS or OU; RA, LA or bds.; 右, 左 or 双",
    "visit_date": "YYYY-MM-DD, or day first with four digits of the year",
}
TROUBLED = {SEVERAL: "several_diagnoses", DOUBTFUL: "doubtful_diagnosis", CONFLICT: "diagnosis_conflict",
            UNKNOWN: "unknown_disease"}  # fmt: skip


@dataclass(slots=True)
class Record:
    """One row: `line` is its physical line, `row` counts records from 1; "" and nan are what it doesn't state."""

    line: int
    row: int
    file: str = ""
    patient_id: str = ""
    names_somebody: bool = False  # the id is one patient's, no placeholder
    consent: str = ""
    disease: str = ""
    age: float = math.nan
    gender: str = ""
    eye: str = ""
    visit_date: str = ""
    record_id: str = ""
    refuses: bool = False
    flags: list[str] = field(default_factory=list)
    reason: str = ""
    detail: str = ""
    texts: tuple[str, ...] = ()  # of a row that cannot be read: all its cells, which may name anybody
    person: str = ""  # set by `identity.judge_persons`: what all spellings of one id share

    def reject(self, reason: str, detail: str) -> None:
        """Give the record its reason, unless it has one."""
        if not self.reason:
            self.reason, self.detail = known(reason), f"line {self.line}: {detail}"

    @property
    def says(self) -> tuple:
        """What two rows of one photo must agree in."""
        age = None if math.isnan(self.age) else self.age
        return (self.person or self.patient_id, self.consent, self.refuses, self.disease, age, self.gender, self.eye,
                self.visit_date)  # fmt: skip


def read_records(path: Path) -> tuple[list[Record], Table, Counter[str]]:
    """Return the records, the table they come from, and how many cells of each column were not understood."""
    table = read_table(path)
    reader = _Reader(table)
    records = [reader.record(row, number) for number, row in enumerate(table.rows, 1)]
    return records, table, reader.unread


def _may_refuse(row: Row) -> bool:
    """Tell whether a row that cannot be read may refuse: by a word, or as a photo's row without any yes."""
    said = {cells.consent(cell) for cell in row.cells if not cell.strip().isdigit()}
    return "no" in said or ("yes" not in said and any(map(PICTURE_NAME.search, row.cells)))


class _Reader:
    """Reads a table's rows; knows where each column is, and counts what was not understood."""

    def __init__(self, table: Table) -> None:
        self.columns = {column.name: column for column in table.columns if column.name}
        self.others = [column for column in table.columns if not column.name]
        self.unread: Counter[str] = Counter()
        self.coded = any(column.codes for column in table.columns)
        self.age_unit = self.columns["age"].unit if "age" in self.columns else "1"
        dates = self.columns.get("visit_date")
        self.is_sure = not cells.month_first(
            row.cells[dates.index] for row in table.rows if dates and dates.index < len(row.cells)
        )

    def texts(self, row: Row) -> dict[str, str]:
        """Return the cells by our names, or what the heading says that their codes mean."""
        found = dict.fromkeys(NAMES, "")
        for name, column in self.columns.items():
            if column.index < len(row.cells):
                found[name] = row.cells[column.index]
        if self.coded:
            for name, column in self.columns.items():
                if column.codes and (code := cells.whole(found[name])).isdigit():
                    found[name] = column.codes.get(code, "?")
        return found

    def record(self, row: Row, number: int) -> Record:
        """Return the row in our vocabulary."""
        text = self.texts(row)
        record = Record(row.line, number, visible(text["file"]), record_id=visible(text["record_id"]))
        record.patient_id, is_somebody = cells.patient_id(text["patient_id"])
        record.names_somebody = is_somebody and record.patient_id != ""
        record.consent = cells.consent(text["consent"])
        record.refuses = cells.may_refuse(text["consent"]) or (
            text["withdrawal"] != "" and cells.is_withdrawn(text["withdrawal"])
        )
        elsewhere = self.refusing_column(row)
        record.refuses |= elsewhere is not None
        record.disease = disease_of(text["diagnosis"], text["diagnosis_code"], text["certainty"])
        if row.problem:
            record.texts = tuple(row.cells)
            record.refuses |= _may_refuse(row)
            record.reject(row.problem, row.detail)
        if elsewhere:
            found = f'column "{elsewhere.heading}": found "{row.cells[elsewhere.index]}"'
            record.reject("consent_refused", f"{found}; expected {EXPECTED['consent_refused']}")
        elif record.refuses and (record.consent or not cells.may_refuse(text["consent"])):
            self.reject(record, row, "consent_refused", "consent", "withdrawal")
        elif not record.consent:
            self.reject(record, row, "missing_consent", "consent")
        if not record.patient_id:
            self.reject(record, row, "missing_patient_id", "patient_id")
        elif not is_somebody:
            self.reject(record, row, "invalid_patient_id", "patient_id")
        if not record.file:
            self.reject(record, row, "no_file_named", "file")
        if record.disease in TROUBLED:
            self.reject(record, row, TROUBLED[record.disease], "diagnosis", "diagnosis_code", "certainty")
        elif not record.reason and (column := self.further_diagnosis(row, record.disease)):
            found = f'column "{column.heading}": found "{row.cells[column.index]}"'
            record.reject("several_diagnoses", f"{found}; expected {EXPECTED['several_diagnoses']}")
        record.age, is_age = cells.age(text["age"], self.age_unit)
        record.gender, is_gender = cells.gender(text["gender"])
        record.eye, is_eye = cells.eye(text["eye"])
        record.visit_date, is_date = cells.visit_date(text["visit_date"], self.is_sure)
        if not (is_age and is_gender and is_eye and is_date):
            self.flag(record, {"age": is_age, "gender": is_gender, "eye": is_eye, "visit_date": is_date})
        return record

    def refusing_column(self, row: Row) -> Column | None:
        """Return a column beside the consent in which the row refuses."""
        for column in self.others:
            text = row.cells[column.index] if column.index < len(row.cells) else ""
            if not text:
                continue
            is_against = column.about == "withdrawal" and cells.is_withdrawn(text)
            is_against |= column.about == "consent" and cells.consent(text) == "no"
            if is_against or cells.ends_consent(text):
                return column
        return None

    def further_diagnosis(self, row: Row, disease: str) -> Column | None:
        """Return a column of a further diagnosis that names another class."""
        for column in self.others:
            text = row.cells[column.index] if column.about == "diagnosis" and column.index < len(row.cells) else ""
            other = disease_of("", text) if CODE.search(visible(text).upper()) else disease_of(text, "")
            if other == SEVERAL or (other in DISEASES and other != disease):
                return column
        return None

    def flag(self, record: Record, understood: dict[str, bool]) -> None:
        """Note what a record need not state, and states in words that are not understood."""
        for name, is_understood in understood.items():
            if not is_understood:
                record.flags.append(f"{name}_not_understood")
                self.unread[name] += 1

    def reject(self, record: Record, row: Row, reason: str, *names: str) -> None:
        """Give the record a reason that says which column, what was found and what is expected."""
        if record.reason:
            return
        found = [
            f'column "{self.columns[name].heading}": found "{row.cells[self.columns[name].index]}"'
            for name in names
            if name in self.columns and self.columns[name].index < len(row.cells)
        ]
        record.reject(reason, f"{', '.join(found)}; expected {EXPECTED[reason]}")
        if reason in ("missing_consent", "invalid_patient_id", "unknown_disease"):
            self.unread[names[0]] += 1
