"""Whose id a spreadsheet or a hand may have made another text of, where that text alone is left."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from models.records.cells import EXCEL_DAYS, NUMBER, is_day
from models.records.vocabulary import MONTHS

_MONTH = "|".join(sorted(MONTHS))
# Keys (`identity.id_keys`) that a spreadsheet reads as dates: 2-1, 1-2-3, 3-2001, 2001-3, mar1, 1mar
DATED = re.compile(
    r"\d{1,2}-\d{1,2}(-\d{1,4})?|\d{1,2}-\d{4}|\d{4}-\d{1,2}(-\d{1,2})?"
    rf"|({_MONTH})\d+|\d+({_MONTH})"
)
LETTERED = re.compile(r"[^\W\d_]+(\d+)|(\d+)[^\W\d_]+")


class Likely:
    """Finds the persons (values of `by_key`) of whom a text that is nobody's own id may be the id.

    1.23E+05 is any number that rounds to it, 02.Jan whoever's id reads as a date, and "MRN 123 (new)" or 123a
    whoever has the bare number 123; where the text is the bare number, whoever has it behind or before letters.
    """

    def __init__(self, by_key: Mapping[str, set[str]]) -> None:
        self.by_key = by_key
        self.dated = self._of(key for key in by_key if DATED.fullmatch(key))
        self.numbers = {int(key): key for key in by_key if key.isdecimal()}
        self.lettered: dict[str, set[str]] = defaultdict(set)
        for key, persons in by_key.items():
            if match := LETTERED.fullmatch(key):
                self.lettered[match[1] or match[2]] |= persons

    def __call__(self, text: str) -> set[str]:
        """Return the persons that a text may mean."""
        found: set[str] = set()
        if is_day(text) or (text.isdecimal() and len(text) == 5 and int(text) in EXCEL_DAYS):
            found |= self.dated
        if NUMBER.fullmatch(text):
            return found | self._of(self._rounded(text))
        numbers = [str(int(digits)) for digits in re.findall(r"\d+", text)]
        for number in numbers if len(numbers) == 1 or re.search(r"[\s(:]", text) else ():
            found |= self.by_key.get(number, set())
        return found | self.lettered.get(numbers[0], set()) if text.isdecimal() else found

    def _rounded(self, text: str) -> list[str]:
        number = float(text.replace(",", "."))
        if not 0 < abs(number) < math.inf:
            return []
        digits = len(re.sub(r"[eE].*|\D", "", text)) - 1
        slack = 10.0 ** (math.floor(math.log10(abs(number))) - digits)
        return [key for whole, key in self.numbers.items() if abs(whole - number) <= slack]

    def _of(self, keys: Iterable[str]) -> set[str]:
        return set().union(*(self.by_key[key] for key in keys))
