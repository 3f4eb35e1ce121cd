"""One cell's text in our vocabulary, and whether it was understood; an empty cell is, and says nothing."""

import math
import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

from models.records.refusals import CONSENTS, DELETES, OF_CONSENT, OF_WITHDRAWAL, REFUSAL, USE_OF_PHOTOS, WITHDRAWS
from models.records.vocabulary import EYES, GENDERS, MARKED, MONTHS, NOBODY, PLACEHOLDERS, YEARS, key, visible, words

OLDEST = 100  # the top of the published bins; an older age would single its patient out
MAX_AGE = 120
EXCEL_DAYS = range(20_000, 60_000)  # days since 1899-12-30, as a cell that lost its date format shows them
EXCEL_ZERO = date(1899, 12, 30)
TIME = re.compile(r"[T ]\s*\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s?([AaPp]\.?[Mm]\.?|Z|[+-]\d\d:?\d\d)?$")
DAY_FIRST = re.compile(r"(\d{1,2})\s?([./-])\s?(\d{1,2})\s?\2\s?(\d{4})")
YEAR_FIRST = re.compile(r"(\d{4})\s?[-/.年]\s?(\d{1,2})\s?[-/.月]\s?(\d{1,2})\s?[日号]?")
NAMED = (re.compile(r"(?P<day>\d{1,2})(?:st|nd|rd|th|er)? ?(?P<month>[a-z]+) ?(?P<year>\d{4})"),
         re.compile(r"(?P<month>[a-z]+) ?(?P<day>\d{1,2})(?:st|nd|rd|th)? (?P<year>\d{4})"))  # fmt: skip
SPREADSHEET = re.compile(r'=\s?"([^"]*)"|\'(.+)')  # ="00123" and '00123 keep a spreadsheet from counting
NAMED_DAY = re.compile(r"\d{1,2}[-. ]{1,2}([^\W\d_]{3,9})\.?(?:[-. ]{1,2}\d{2,4})?|([^\W\d_]{3,9})[-. ]\d{2}")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?e[+-]?\d+", re.IGNORECASE)
SEVERAL_IDS = re.compile(r"[;,|&]|\s(and|und|et|or|oder|ou)\s", re.IGNORECASE)
NOTHING = re.compile(r"[\s\-–—−_.,;:/\\'\"()\[\]]*")
NUMBERED = re.compile(r"(\d+)[.,]0+")  # a whole number that a spreadsheet wrote as a fraction


def is_empty(text: str) -> bool:
    """Tell whether a cell states nothing: blank, dashes and dots, or a word for "not stated"; a tick states."""
    return key(text) in PLACEHOLDERS or NOTHING.fullmatch(visible(text)) is not None


def _in(table: dict[str, str], text: str) -> str | None:
    """Return a word's meaning; None for one that is unknown, or that a mark turns into a question."""
    if MARKED.search(text):
        return None
    return table.get(key(whole(text)))


def whole(text: str) -> str:
    """Return 1 for 1.0, as a spreadsheet writes a code."""
    number = NUMBERED.fullmatch(text.strip())
    return number[1] if number else text.strip()


@lru_cache(1 << 12)
def gender(text: str) -> tuple[str, bool]:
    """Return female, male, or "" where neither is stated; ISO 5218's 1 is male and 2 female."""
    found = _in(GENDERS, text)
    return ("" if found in (None, "other") else found), found is not None or is_empty(text)


@lru_cache(1 << 12)
def eye(text: str) -> tuple[str, bool]:
    """Return the patient's side: right, left, both or ""."""
    found = _in(EYES, text)
    return found or "", found is not None or is_empty(text)


@lru_cache(1 << 12)
def consent(text: str) -> str:
    """Return yes, no, or "" where the cell says neither clearly; any word of refusal refuses."""
    found = _in(CONSENTS, text)
    if found:
        return found
    if key(text) in PLACEHOLDERS:
        return ""
    return "no" if REFUSAL.search(words(text)) else ""


@lru_cache(1 << 12)
def may_refuse(text: str) -> bool:
    """Tell whether a consent cell refuses or, being neither understood nor empty, may."""
    found = consent(text)
    return found == "no" or (not found and not is_empty(text))


@lru_cache(1 << 16)
def ends_consent(remark: str) -> bool:
    """Tell whether a remark in any column says that somebody refuses or withdrew."""
    said = words(remark)
    if WITHDRAWS.search(said):
        return True
    refuses = REFUSAL.search(said) is not None
    return (refuses and OF_CONSENT.search(said) is not None) or (
        (refuses or DELETES.search(said) is not None) and USE_OF_PHOTOS.search(said) is not None
    )


def tells_withdrawal(text: str) -> bool:
    """Tell whether a text that is no record's speaks of refusals or withdrawals, whoever's."""
    said = words(text)
    return OF_WITHDRAWAL.search(said) is not None or WITHDRAWS.search(said) is not None


@lru_cache(1 << 12)
def is_withdrawn(text: str) -> bool:
    """Tell whether a column of withdrawals withdraws: by anything but an empty cell or a plain no."""
    is_no_day = re.fullmatch(r"[0\s./:-]+", text) is not None  # 0000-00-00, as databases write an empty date
    return not (is_no_day or is_empty(text) or _in(CONSENTS, text) == "no")


@lru_cache(1 << 14)
def age(text: str, unit: str = "1") -> tuple[float, bool]:
    """Return years, nan where none are stated or understood; `unit` is how many make a year."""
    if is_empty(text) and not re.search(r"\d", text):
        return math.nan, True
    pieces = re.fullmatch(
        r"((?:\d{1,6}(?:[.,]\d{1,6})?\s*[^\W\d_]*[ .]*)+)(?:old|alt|révolus)?", visible(text).casefold()
    )
    years, used = 0.0, set()
    for number, name in re.findall(r"(\d+(?:[.,]\d+)?)\s*([^\W\d_]*(?: old)?)", pieces[1] if pieces else ""):
        per_year = YEARS.get(key(name)) if name else unit
        if per_year is None or per_year in used:
            return math.nan, False
        used.add(per_year)
        years += float(number.replace(",", ".")) / float(per_year)
    return (years, True) if used and years <= MAX_AGE else (math.nan, False)


def month_first(texts: Iterable[str]) -> bool:
    """Tell whether some date of a column can only be month first, so that no other of its kind is sure."""
    found = (DAY_FIRST.fullmatch(TIME.sub("", text.strip())) for text in set(texts))
    return any(match and match[2] != "." and int(match[3]) > 12 >= int(match[1]) for match in found)


@lru_cache(1 << 16)
def visit_date(text: str, is_sure: bool = True) -> tuple[str, bool]:
    """Return an ISO date, "" where none is stated or understood.

    Day first, four digits of a year; unless `is_sure`, one without dots that also reads month first is not.
    """
    if is_empty(text):
        return "", True
    plain = TIME.sub("", visible(text)).strip()
    year = month = day = 0
    if match := DAY_FIRST.fullmatch(plain):
        day, month, year = int(match[1]), int(match[3]), int(match[4])
        if not is_sure and match[2] != "." and month <= 12 and day <= 12 and day != month:
            return "", False
    elif match := YEAR_FIRST.fullmatch(plain) or re.fullmatch(r"(\d{4})(\d\d)(\d\d)", plain):
        year, month, day = map(int, match.groups())
    elif match := re.fullmatch(r"(\d{5})([.,]\d+)?", plain):
        return (
            ((EXCEL_ZERO + timedelta(int(match[1]))).isoformat(), True) if int(match[1]) in EXCEL_DAYS else ("", False)
        )
    elif match := next((found for form in NAMED if (found := form.fullmatch(words(plain)))), None):
        day, month, year = int(match["day"]), MONTHS.get(match["month"], 0), int(match["year"])
    try:
        found = date(year, month, day)
    except ValueError:
        return "", False
    return (found.isoformat(), True) if 1900 <= year < 2100 else ("", False)


@lru_cache(1 << 16)
def patient_id(text: str) -> tuple[str, bool]:
    """Return an id in one Unicode form without invisible letters, and whether it may be anybody's.

    Placeholders, numbers that a spreadsheet rounded (1.23E+05), dates and error values are nobody's.
    """
    plain = visible(text)
    if wrapped := SPREADSHEET.fullmatch(plain):
        plain = visible(wrapped[1] if wrapped[1] is not None else wrapped[2])
    if not plain:
        return "", True
    if number := NUMBERED.fullmatch(plain):  # 123,0 is a number, not two ids
        return plain, int(number[1]) > 0
    if key(plain) in NOBODY or not key(plain) or SEVERAL_IDS.search(plain):
        return plain, False
    if (
        re.fullmatch(r"[0.,\s_-]+|[-–−]\s?\d+([.,]\d+)?|9{4,}|[xX]{2,}|\?.*|.*\?|#[A-Z/0]*[!?]?", plain)
        or "\ufffd" in plain
    ):
        return plain, False
    rounded = NUMBER.fullmatch(plain)
    return plain, not (rounded and re.search(r"[.,+-]", plain)) and not is_day(plain)


def is_day(text: str) -> bool:
    """Tell whether a spreadsheet may have made a date or a time of an id, as it does of 1-2 or MAR-1."""
    if named := NAMED_DAY.fullmatch(text):
        return key(named[1] or named[2]) in MONTHS
    return bool(
        re.fullmatch(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}( .*)?|\d{1,2}[./]\d{1,2}[./]\d{4}( .*)?|\d{1,2}:\d\d(:\d\d)?", text)
    )
