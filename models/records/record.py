"""A row of the table in our vocabulary, with the reason against it that it gives by itself."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from models.conditions import DISEASES
from models.records import cells
from models.records.diagnoses import CONFLICT, DOUBTFUL, SEVERAL, UNKNOWN, disease_of
from models.records.headings import NAMES, Column
from models.records.reading import Row, Table, read_table
from models.records.vocabulary import key, visible

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
            self.reason, self.detail = reason, f"line {self.line}: {detail}"

    @property
    def says(self) -> tuple:
        """What two rows of one photo must agree in."""
        age = None if math.isnan(self.age) else self.age
        return (self.person or self.patient_id, self.consent, self.refuses, self.disease, age, self.gender, self.eye,
                self.visit_date)  # fmt: skip


def read_records(path: Path) -> tuple[list[Record], Table, Counter[str]]:
    """Return the records, the table they come from, and how many cells of each column were not understood."""
    table = read_table(path)
    columns = {column.name: column for column in table.columns if column.name}
    is_sure = not _has_month_first(table.rows, columns.get("visit_date"))
    unread: Counter[str] = Counter()
    records = [
        _Reader(row, number, columns, unread).record(is_sure) for number, row in enumerate(table.rows, 1)
    ]
    return records, table, unread


def _has_month_first(rows: list[Row], column: Column | None) -> bool:
    if column is None:
        return False
    return cells.month_first(row.cells[column.index] for row in rows if column.index < len(row.cells))


class _Reader:
    """Reads one row; keeps the reasons' texts out of the way of the rules."""

    __slots__ = ("columns", "number", "row", "unread")

    def __init__(self, row: Row, number: int, columns: dict[str, Column], unread: Counter[str]) -> None:
        self.row, self.number, self.columns, self.unread = row, number, columns, unread

    def text(self, name: str) -> str:
        """Return a cell as it stands, or what the heading says that its code means."""
        column = self.columns.get(name)
        if column is None or column.index >= len(self.row.cells):
            return ""
        text = self.row.cells[column.index]
        if column.codes and key(text).isdigit():
            return column.codes.get(key(text), "?")
        return text

    def record(self, is_sure: bool) -> Record:
        """Return the row in our vocabulary."""
        text, row = self.text, self.row
        record = Record(row.line, self.number, visible(text("file")), record_id=visible(text("record_id")))
        record.patient_id, is_somebody = cells.patient_id(text("patient_id"))
        record.consent = cells.consent(text("consent"))
        record.refuses = record.consent == "no" or cells.is_withdrawn(text("withdrawal"))
        record.disease = disease_of(text("diagnosis"), text("diagnosis_code"), text("certainty"))
        if row.problem:
            record.texts = tuple(row.cells)
            record.refuses |= any(
                cells.consent(cell) == "no" for cell in row.cells if not cell.strip().isdigit()
            )
            record.reject(row.problem, row.detail)
        if record.refuses:
            name = "consent" if record.consent == "no" else "withdrawal"
            self.reject(record, "consent_refused", name)
        elif not record.consent:
            self.reject(record, "missing_consent", "consent")
        if not record.patient_id:
            self.reject(record, "missing_patient_id", "patient_id")
        elif not is_somebody:
            self.reject(record, "invalid_patient_id", "patient_id")
        if not record.file:
            self.reject(record, "no_file_named", "file")
        if record.disease in TROUBLED:
            self.reject(record, TROUBLED[record.disease], "diagnosis", "diagnosis_code", "certainty")
        self.optional(record, is_sure)
        return record

    def optional(self, record: Record, is_sure: bool) -> None:
        """Read what a record need not state; what is not understood is flagged and counted by its column."""
        age = self.columns.get("age")
        found = {
            "age": cells.age(self.text("age"), age.unit if age else "1"),
            "gender": cells.gender(self.text("gender")),
            "eye": cells.eye(self.text("eye")),
            "visit_date": cells.visit_date(self.text("visit_date"), is_sure),
        }
        for name, (value, is_understood) in found.items():
            setattr(record, name, value)
            if not is_understood:
                record.flags.append(f"{name}_not_understood")
                self.unread[name] += 1

    def reject(self, record: Record, reason: str, *names: str) -> None:
        """Give the record a reason that says which column, what was found and what is expected."""
        if record.reason:
            return
        found = [
            f'column "{self.columns[name].heading}": found "{self.row.cells[self.columns[name].index]}"'
            for name in names
            if name in self.columns and self.columns[name].index < len(self.row.cells)
        ]
        record.reject(reason, f"{', '.join(found)}; expected {EXPECTED[reason]}")
        if names[0] in NAMES:
            self.unread[names[0]] += reason in ("missing_consent", "invalid_patient_id", "unknown_disease")
