"""A hospital's record table: read in any dialect, normalised, checked row by row with reasons."""

import csv
import io
import re
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from models.conditions import DISEASES

# Column headings in lower case, spaces and hyphens as underscores -> our name.
COLUMNS = {
    "patient_id": ("patient_id", "patient", "patientid", "pid", "patienten_id", "mrn"),
    "file": ("file", "filename", "file_name", "photo", "image", "datei", "path"),
    "consent": ("consent", "informed_consent", "einwilligung"),
    "diagnosis_code": ("diagnosis_code", "icd10", "icd_10", "icd", "code", "icd_code"),
    "diagnosis": ("diagnosis", "diagnosis_text", "disease", "diagnose", "condition"),
    "age": ("age", "age_years", "alter"),
    "gender": ("gender", "sex", "geschlecht"),
    "eye": ("eye", "laterality", "side", "auge"),
    "visit_date": ("visit_date", "visit", "date", "datum"),
    "record_id": ("record_id", "visit_id", "row_id", "id"),
}
REQUIRED = ("patient_id", "file", "consent")

# The one table of diagnoses: texts (lower case, punctuation as spaces) and ICD-10 prefixes -> class.
DIAGNOSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "normal": (
        ("normal", "healthy", "no finding", "no findings", "no abnormality", "control", "gesund"),
        ("Z01.0", "Z00.0"),
    ),
    "bcc": (("bcc", "basal cell carcinoma", "basalioma", "basaliom", "rodent ulcer"), ("C44.11",)),
    "conjunctivitis": (
        ("conjunctivitis", "pink eye", "bacterial conjunctivitis", "viral conjunctivitis", "konjunktivitis",
         "allergic conjunctivitis", "acute conjunctivitis"),
        ("H10", "B30"),
    ),
    "uveitis": (("uveitis", "anterior uveitis", "iritis", "iridocyclitis", "panuveitis"), ("H20", "H44.11")),
    "ptosis": (
        ("ptosis", "blepharoptosis", "eyelid ptosis", "ptosis of eyelid", "drooping eyelid",
         "congenital ptosis"),
        ("H02.4", "Q10.0"),
    ),
    "scc": (("scc", "squamous cell carcinoma", "spinalioma", "spinaliom"), ("C44.12",)),
    "strabismus": (
        ("strabismus", "squint", "esotropia", "exotropia", "hypertropia", "heterotropia", "schielen"),
        ("H49", "H50"),
    ),
    "tao": (
        ("tao", "thyroid associated ophthalmopathy", "thyroid eye disease", "ted", "graves ophthalmopathy",
         "graves orbitopathy",
         "thyroid associated orbitopathy", "endocrine orbitopathy", "dysthyroid exophthalmos"),
        ("H06.2",),
    ),
}  # fmt: skip
TEXTS = {text: key for key, (texts, _) in DIAGNOSES.items() for text in texts}
CODES = {code.replace(".", ""): key for key, (_, codes) in DIAGNOSES.items() for code in codes}
GENDER_WORDS = {
    **dict.fromkeys(("f", "female", "woman", "w", "weiblich"), "female"),
    **dict.fromkeys(("m", "male", "man", "männlich"), "male"),
}
EYE_WORDS = {
    **dict.fromkeys(("right", "r", "od", "re", "rechts"), "right"),
    **dict.fromkeys(("left", "l", "os", "le", "links"), "left"),
    **dict.fromkeys(("both", "ou", "b", "bilateral", "beide"), "both"),
}
CONSENT_WORDS = {
    **dict.fromkeys(("yes", "y", "true", "1", "given", "signed", "ja", "j"), "yes"),
    **dict.fromkeys(("no", "n", "false", "0", "refused", "withdrawn", "nein"), "no"),
}
OLDEST = 100  # the top of the published bins; an older age would single its patient out
MAX_AGE = 120


def read_records(path: Path) -> pd.DataFrame:
    """Return the table as text under our column names, with `row` (1 = first record) and `bad_row`.

    Reads UTF-8 with or without BOM, UTF-16 with BOM and cp1252; separated by comma, semicolon or tab.
    Raises ValueError when the table as a whole cannot be used.
    """
    if not path.is_file():
        raise ValueError(
            f"records: {path.name} is not in the source folder; set ingest_patients.records to its name"
        )
    text = _decode(path.read_bytes())
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(1 << 24)
    lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(line)]
    if not lines:
        raise ValueError(f"records: {path.name} is empty; export the table again with its heading line")
    names = [_column(cell) for cell in lines[0]]
    _check_columns(names, path.name)
    records = [
        {name: cell.strip() for name, cell in zip(names, line, strict=False)}
        | {"row": row, "bad_row": len(line) != len(names)}
        for row, line in enumerate(lines[1:], 1)
    ]
    frame = pd.DataFrame(records, columns=[*COLUMNS, "row", "bad_row"])
    return frame.fillna(dict.fromkeys(COLUMNS, ""))


def _decode(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _column(heading: str) -> str:
    key = re.sub(r"[\s\-]+", "_", heading.strip().casefold())
    return next((name for name, words in COLUMNS.items() if key in words), f"ignored:{key}")


def _check_columns(names: list[str], file: str) -> None:
    known = [name for name in names if name in COLUMNS]
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise ValueError(f"records: {file} has several columns for {', '.join(twice)}; keep one of each")
    missing = [name for name in REQUIRED if name not in known]
    if not {"diagnosis", "diagnosis_code"} & set(known):
        missing.append("diagnosis or diagnosis_code")
    if missing:
        raise ValueError(
            f"records: {file} lacks the column {', '.join(missing)}; add it, headings as in the README"
        )


def disease_of(text: str, code: str) -> str:
    """Return the class of a diagnosis text and an ICD-10 code, "unknown", or "conflict" when they disagree.

    A code outside the table is overruled by a known text, except that "normal" needs a fitting code or none.
    """
    words = re.sub(r"[\W_]+", " ", text.casefold().replace("'s", "")).strip()
    by_text = TEXTS.get(words, "")
    compact = code.upper().replace(".", "").replace(" ", "")
    by_code = next((key for prefix, key in CODES.items() if compact.startswith(prefix)), "")
    if by_text and by_code:
        return by_text if by_text == by_code else "conflict"
    if by_code and words:
        return "conflict"
    if by_text == "normal" and compact:
        return "conflict"
    return by_text or by_code or "unknown"


def _iso_date(text: str) -> str:
    for pattern in ("%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        try:
            parsed = datetime.strptime(text, pattern).date()
        except ValueError:
            continue
        return parsed.isoformat() if parsed >= date(1900, 1, 1) else "impossible"
    return "impossible" if text else ""


def _age(text: str) -> float:
    """Return years, nan where none is stated, -1 where the text is no number."""
    if not text:
        return float("nan")
    return float(text.replace(",", ".")) if re.fullmatch(r"-?\d{1,6}([.,]\d{1,6})?", text) else -1.0


def _file(text: str) -> str:
    parts = [part for part in text.replace("\\", "/").split("/") if part != "."]
    return (
        "/".join(parts).replace("//", "/")
        if not text.startswith(("/", "\\"))
        else "/" + "/".join(parts).lstrip("/")
    )


def normalise(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in our vocabulary; what cannot be said in it stays recognisably wrong for `check`."""
    frame = raw.copy()
    frame["file"] = [_file(text) for text in raw["file"]]
    frame["disease"] = [
        disease_of(*pair) for pair in zip(raw["diagnosis"], raw["diagnosis_code"], strict=True)
    ]
    frame["consent"] = [CONSENT_WORDS.get(text.casefold(), "") for text in raw["consent"]]
    frame["gender"] = [GENDER_WORDS.get(text.casefold(), "") for text in raw["gender"]]
    frame["eye"] = [EYE_WORDS.get(text.casefold(), "") for text in raw["eye"]]
    frame["visit_date"] = [_iso_date(text) for text in raw["visit_date"]]
    frame["age"] = pd.Series([_age(text) for text in raw["age"]], index=raw.index, dtype=float)
    return frame


def _is_inside(files: pd.Series) -> pd.Series:
    return files.map(
        lambda file: not file.startswith("/") and ".." not in file.split("/") and "\0" not in file
    )


def _named_once(frame: pd.DataFrame) -> pd.Series:
    """A file of several rows is nobody's; of wholly equal rows the first may keep it."""
    content = frame.drop(columns=["row"])
    contradictory = frame["file"].duplicated(keep=False) & ~content.duplicated(keep=False)
    files = set(frame["file"][contradictory & (frame["file"] != "")])
    return ~(frame["file"].isin(files) | (content.duplicated() & (frame["file"] != "")))  # type: ignore


def _one_gender(frame: pd.DataFrame) -> pd.Series:
    """Two genders under one patient_id are two people, or a slip: either way the row cannot be trusted."""
    known = frame[(frame["gender"] != "") & (frame["patient_id"] != "")]
    genders = known.groupby("patient_id")["gender"].nunique()
    return ~frame["patient_id"].isin(genders.index[genders > 1])  # type: ignore


def schema() -> pa.DataFrameSchema:
    """Return pandera's schema; each check's error is the reason, the earlier one wins."""
    text, check = str, pa.Check
    return pa.DataFrameSchema(
        {
            "bad_row": pa.Column(bool, check(lambda s: ~s, error="bad_row")),
            "consent": pa.Column(
                text, [check(lambda s: s != "", error="missing_consent"),
                 check(lambda s: s != "no", error="consent_refused")],
            ),
            "patient_id": pa.Column(text, check(lambda s: s != "", error="missing_patient_id")),
            "record_id": pa.Column(text, check(lambda s: (s == "") | ~s.duplicated(), error="duplicate_id")),
            "file": pa.Column(
                text, [check(lambda s: s != "", error="no_file_named"),
                 check(_is_inside, error="path_outside")],
            ),
            "disease": pa.Column(
                text,
                [check(lambda s: s != "conflict", error="diagnosis_conflict"),
                 check(lambda s: s.isin([*DISEASES, "conflict"]), error="unknown_disease")],
            ),
            "age": pa.Column(float, check.in_range(0, MAX_AGE, error="impossible_age"), nullable=True),
            "visit_date": pa.Column(text, check(lambda s: s != "impossible", error="impossible_date")),
        },
        checks=[check(_named_once, error="file_named_twice"), check(_one_gender, error="conflicting_gender")],
    )  # fmt: skip


REASONS = (
    "bad_row", "consent_refused", "missing_consent", "missing_patient_id", "no_file_named", "path_outside",
    "duplicate_id", "file_named_twice", "conflicting_gender", "diagnosis_conflict", "unknown_disease",
    "impossible_age", "impossible_date",
)  # fmt: skip


def check(frame: pd.DataFrame) -> list[str]:
    """Return the first reason against each normalised row, "" for a good one."""
    reasons = [""] * len(frame)
    if not len(frame):
        return reasons
    try:
        schema().validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        found: dict[int, set[str]] = {}
        for index, reason in zip(cases["index"], cases["check"], strict=True):
            if index is None or reason not in REASONS:
                raise AssertionError(f"records' schema failed outside its rows: {reason}") from errors
            found.setdefault(int(index), set()).add(reason)
        for index, several in found.items():
            reasons[index] = min(several, key=REASONS.index)
    return reasons
