"""Which column of a table is which of ours, in which unit and by which coding."""

import re
from dataclasses import dataclass, field

from models.records.refusals import OF_CONSENT, OF_WITHDRAWAL
from models.records.vocabulary import HEADINGS, OF_DIAGNOSIS, YEARS, key, visible, words

NAMES = tuple(dict.fromkeys(HEADINGS.values()))
REQUIRED = ("patient_id", "file", "consent")
CODED = ("gender", "eye", "consent", "withdrawal")
REPEATABLE = ("record_id",)  # one more is ignored; of other columns two may disagree
CODED_BARE = re.compile(r"\b\d+\s*[=→]\s*[^\W\d_]+|\b[^\W\d_]+\s*[=→]\s*\d+\b")
BRACKETS = re.compile(r"[(\[{<（【]([^)\]}>）】]*)[)\]}>）】]?")
MAX_SHOWN = 40


@dataclass(frozen=True)
class Column:
    """A heading: `name` is ours or "", an age has a `unit` (how many make a year), `codes` are told by it.

    One of no name may still be `about` consent, withdrawal or diagnosis: what speaks against a row there is heard.
    """

    index: int
    heading: str
    name: str
    unit: str = "1"
    codes: dict[str, str] = field(default_factory=dict)
    about: str = ""


def column_of(index: int, heading: str) -> Column:
    """Return what a heading means; units and codings may stand in brackets, as `Sex (1=female, 2=male)`."""
    text = visible(heading).strip("\"' ")
    bracket = " ".join(BRACKETS.findall(text))
    bare = BRACKETS.sub(" ", text)
    if len(told := CODED_BARE.findall(bare)) > 1:  # without brackets: Withdrawn? 0=yes 1=no
        bracket, bare = " ".join([bracket, *told]), CODED_BARE.sub(" ", bare)
    name = HEADINGS.get(key(text)) or HEADINGS.get(key(bare)) or ""
    units = [YEARS[word] for word in map(key, words(bracket).split()) if word in YEARS]
    if not name:
        parts = words(bare).split()
        while parts and (parts[-1] in YEARS or parts[-1] in ("in", "en", "at")):
            units += [YEARS[parts[-1]]] if parts[-1] in YEARS else []
            parts.pop()
        name = "age" if HEADINGS.get("".join(parts)) == "age" else ""
    unit = units[0] if units and name == "age" else "1"
    about = "" if name else _about(text)
    return Column(index, text, name, unit, _codes(bracket) if name in CODED else {}, about)


def _about(heading: str) -> str:
    said = words(heading)
    if OF_WITHDRAWAL.search(said):
        return "withdrawal"
    if OF_CONSENT.search(said):
        return "consent"
    return "diagnosis" if OF_DIAGNOSIS.search(said) else ""


def _codes(bracket: str) -> dict[str, str]:
    """Return digit -> word of `1=female, 2=male` or `f=1, m=2`; a digit without its word means nothing then."""
    pairs = re.findall(r"([^\W_]+)\s*[=:→]\s*([^\W_]+)", bracket)
    told = {}
    for left, right in pairs:
        digit, word = (left, right) if left.isdigit() else (right, left)
        if digit.isdigit():
            told[key(digit)] = word
    return told


def columns_of(cells: list[str]) -> list[Column]:
    """Return one column per cell of a heading; a repeatable one counts once."""
    columns: list[Column] = []
    for index, cell in enumerate(cells):
        column = column_of(index, cell)
        if column.name in REPEATABLE and any(other.name == column.name for other in columns):
            column = Column(index, column.heading, "")
        columns.append(column)
    return columns


def missing(columns: list[Column]) -> list[str]:
    """Return the required columns that a heading lacks."""
    names = {column.name for column in columns}
    lacking = [name for name in REQUIRED if name not in names]
    return lacking if names & {"diagnosis", "diagnosis_code"} else [*lacking, "diagnosis or diagnosis_code"]


def check_columns(columns: list[Column], file: str, line: int) -> None:
    """Raise ValueError for a heading that lacks a column or has one twice; tells no other cell."""
    names = [column.name for column in columns if column.name]
    if lacking := missing(columns):
        found = ", ".join(dict.fromkeys(names)) or "none"
        raise ValueError(
            f"records: {file} lacks the column {', '.join(lacking)}; line {line} is the likeliest heading and has: "
            f"{found}; add what is missing, headings as in the README (the delimiter may be , ; | or a tab)"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        which = "; ".join(
            f"{name} in columns {', '.join(str(c.index + 1) for c in columns if c.name == name)}" for name in twice
        )
        raise ValueError(f"records: {file} has several columns for {which}; keep one of each")


def as_shown(column: Column, values: set[str]) -> str:
    """Return a heading that may be shown outside the hospital's zone, or its number where it may name somebody.

    Headings are part of the table's form. One that also stands among the table's `values`, that has digits as
    an id or a day has, or an address, is told by its number alone.
    """
    text = column.heading
    if key(text) in values or re.search(r"\d{4}|@|\d[./-]\d", text) or not text:
        return f"column {column.index + 1}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
