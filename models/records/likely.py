"""Whose id a spreadsheet or a hand may have made another text of, where that text alone is left."""

import math
import re
from collections.abc import Iterable, Mapping

from models.records.cells import EXCEL_DAYS, NUMBER, is_day
from models.records.vocabulary import MONTHS

_MONTH = "|".join(sorted(MONTHS))
# Keys (`identity.id_keys`) that a spreadsheet reads as dates: 2-1, 1-2-3, 3-2001, 2001-3, mar1, 1mar
DATED = re.compile(rf"\d{{1,2}}-\d{{1,2}}(-\d{{1,4}})?|\d{{1,2}}-\d{{4}}|\d{{4}}-\d{{1,2}}(-\d{{1,2}})?|({_MONTH})\d+|\d+({_MONTH})")


def likely(text: str, by_key: Mapping[str, set[str]]) -> set[str]:
    """Return the persons (values of `by_key`) of whom a text that is nobody's own id may be the id.

    1.23E+05 is any number that rounds to it, 02.Jan whoever's id reads as a date, and "MRN 123 (new)" or 123a
    whoever has the bare number 123; where the text is the bare number, whoever has it behind or before letters.
    """
    found: set[str] = set()
    if is_day(text) or (text.isdecimal() and len(text) == 5 and int(text) in EXCEL_DAYS):
        found |= _of((key for key in by_key if DATED.fullmatch(key)), by_key)
    if NUMBER.fullmatch(text):
        number = float(text.replace(",", "."))
        digits = len(re.sub(r"[eE].*|\D", "", text)) - 1
        slack = 10.0 ** (math.floor(math.log10(abs(number))) - digits) if 0 < abs(number) < math.inf else 0.0
        found |= _of((key for key in by_key if key.isdecimal() and abs(int(key) - number) <= slack), by_key)
        return found
    numbers = [str(int(digits)) for digits in re.findall(r"\d+", text)]
    for number in numbers if len(numbers) == 1 or re.search(r"[\s(:]", text) else ():
        found |= by_key.get(number, set())
    if text.isdecimal():
        form = re.compile(rf"[^\W\d_]+{numbers[0]}|{numbers[0]}[^\W\d_]+")
        found |= _of((key for key in by_key if form.fullmatch(key)), by_key)
    return found


def _of(keys: Iterable[str], by_key: Mapping[str, set[str]]) -> set[str]:
    return set().union(*(by_key[key] for key in keys))
