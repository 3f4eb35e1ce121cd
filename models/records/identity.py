"""Who a row is about and which photo it is about, judged over all rows: one person, one file at a time."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from models.records.cells import NUMBERED
from models.records.likely import Likely
from models.records.record import Record
from models.records.vocabulary import DITTO, key, lookalike

YEAR_DAYS = 365.2425
AGE_SLACK_YEARS = 1.0  # ages are rounded, and told of the day before or after
MAX_LISTED = 5
JOINED = re.compile(r"[;,|&+/\\]+")
DECORATION = re.compile(r"[\s_:()\[\]]+")
ANY_SEPARATOR = re.compile(r"[;,|&+/\\\s_:()\[\]*]+")


@dataclass(frozen=True)
class Person:
    """Who an id is: all spellings of it share the key; several spellings are ambiguous until somebody decides."""

    key: str
    spellings: tuple[str, ...]


@lru_cache(1 << 18)
def id_keys(patient_id: str) -> tuple[str, str]:
    """Return an id's structure without case, separators and leading zeros, and the same once it is run together.

    P-001-02 is (p1-2, p102): a dash stays where it alone keeps two numbers apart.
    """
    whole = NUMBERED.fullmatch(patient_id)
    tokens = re.findall(r"\d+|[^\W\d_]+", lookalike(whole[1] if whole else patient_id).casefold())
    return _join(tokens, "-"), _join(re.findall(r"\d+|\D+", "".join(tokens)), "-")


def _join(tokens: list[str], separator: str) -> str:
    parts: list[str] = []
    for token in tokens:
        is_number = token.isdecimal()
        if is_number and parts and parts[-1].isdecimal():
            parts.append(separator)
        parts.append(str(int(token)) if is_number else token)
    return "".join(parts)


def persons(ids: Iterable[str]) -> dict[str, Person]:
    """Return who each id is. Ids that are equal but for case, separators, leading zeros and `.0` are one group.

    Within a group, ids that all keep their numbers apart are as many persons as structures: 1-11 and 11-1.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    for one in dict.fromkeys(ids):
        for found in {*id_keys(one)}:
            by_key[found].append(one)
    group: dict[str, set[str]] = {}
    for alike in by_key.values():
        merged = set().union(*(group.get(one, {one}) for one in alike))
        for one in merged:
            group[one] = merged
    everyone: dict[str, Person] = {}
    for one, alike in group.items():
        if len(alike) > 1 and all("-" in id_keys(other)[0] for other in alike):
            alike = {other for other in alike if id_keys(other)[0] == id_keys(one)[0]}
        everyone[one] = Person(min(alike), tuple(sorted(alike)))
    return everyone


def judge_persons(records: list[Record]) -> None:
    """Give every record its person, and reasons to those whose person contradicts itself or refused anywhere."""
    readable = [record for record in records if record.names_somebody and not record.texts]
    known = persons(r.patient_id for r in readable)
    mine: dict[str, list[Record]] = defaultdict(list)
    for record in readable:
        record.person = known[record.patient_id].key
        mine[record.person].append(record)
    by_key: dict[str, set[str]] = defaultdict(set)
    for one, person in known.items():
        for found in id_keys(one):
            by_key[found].add(person.key)
    for person, line in _refusals(records, by_key).items():
        _reject(mine[person], "consent_refused_elsewhere", f"line {line} refuses for this patient")
    for rows in mine.values():
        spellings = known[rows[0].patient_id].spellings
        if _is_several(spellings[0], by_key):
            _reject(rows, "ambiguous_patient_id", "found several ids that other rows have; expected one patient's")
        if len(spellings) > 1:
            _reject(rows, "ambiguous_patient_id", f"found {_listed(spellings)}; expected one spelling of one id")
        _judge_person(rows)
    _judge_record_ids(readable)


def _refusals(records: list[Record], by_key: Mapping[str, set[str]]) -> dict[str, int]:
    """Return person -> line of a row that refuses; one that cannot be read refuses for whoever it may name.

    So does one whose id no other row has: it may be an id that was decorated, rounded or turned into a date.
    """
    refused: dict[str, int] = {}
    seen = Counter(record.person for record in records)
    shapes = Counter(_shape(one) for one in {record.person: record.patient_id for record in records}.values())
    of_record = {record.record_id: record.person for record in records if record.record_id and record.person}
    above, likely = "", Likely(by_key)
    for record in records:
        above = record.person or above
        if not record.refuses:
            continue
        if key(record.patient_id) in ("", *DITTO) and above:  # a cell merged with the one above
            refused.setdefault(above, record.line)
        if record.person:
            refused.setdefault(record.person, record.line)
        elif one := of_record.get(record.record_id):
            refused.setdefault(one, record.line)
        if seen[record.person] == 1 or not record.person:
            for one in likely(record.patient_id):
                refused.setdefault(one, record.line)
        # an id shaped as no other is one that something was written to: "Patient P001", "P001_withdrawn"
        is_own = record.person and not (seen[record.person] == 1 and shapes[_shape(record.patient_id)] == 1)
        numbers = () if is_own else filter(str.isdecimal, DECORATION.split(record.patient_id))
        for one in (one for number in numbers for one in likely(number)):
            refused.setdefault(one, record.line)
        texts = record.texts or (record.patient_id,)
        split = JOINED if is_own else ANY_SEPARATOR
        for piece in {piece for text in texts for piece in (text, *split.split(text)) if piece}:
            for person in {person for found in id_keys(piece) for person in by_key.get(found, ())}:
                refused.setdefault(person, record.line)
    return refused


def _shape(patient_id: str) -> str:
    """Return an id with a for its words and 0 for its numbers: ids of one kind share it."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", patient_id))


def _is_several(patient_id: str, by_key: Mapping[str, set[str]]) -> bool:
    """Tell whether an id is made of others that the table has, as p1/p2."""
    pieces = [piece for piece in JOINED.split(patient_id) if piece.strip()]
    return len(pieces) > 1 and all(any(found in by_key for found in id_keys(piece)) for piece in pieces)


def _judge_person(rows: list[Record]) -> None:
    if len({record.gender for record in rows if record.gender}) > 1:
        _reject(rows, "conflicting_gender", f"found two under one patient id, {_lines(rows)}; expected one")
    if _ages_conflict(rows):
        _reject(
            rows, "conflicting_age", f"found ages that do not follow the dates, {_lines(rows)}; expected one birthday"
        )


def _ages_conflict(rows: list[Record]) -> bool:
    """Tell whether no birthday fits all ages at their dates, give or take a year."""
    latest, earliest = -math.inf, math.inf
    for record in rows:
        if record.visit_date and not math.isnan(record.age):
            born = date.fromisoformat(record.visit_date).toordinal() / YEAR_DAYS - record.age
            latest, earliest = max(latest, born - 1), min(earliest, born)
    return latest > earliest + AGE_SLACK_YEARS


def _judge_record_ids(records: list[Record]) -> None:
    """A record's id under two persons is nobody's."""
    by_id: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.record_id:
            by_id[record.record_id].append(record)
    for rows in by_id.values():
        if len({record.person for record in rows}) > 1:
            _reject(
                rows, "duplicate_id", f"found one record id for several patients, {_lines(rows)}; expected one each"
            )


@dataclass(frozen=True)
class Target:
    """What a row's path leads to: one listed photo, or "" with the reason; `claims` are all it may mean."""

    name: str = ""
    reason: str = ""
    detail: str = ""
    claims: frozenset[str] = field(default_factory=frozenset)


def judge_files(records: list[Record], resolve: Callable[[str, bool], Target]) -> dict[str, list[Record]]:
    """Resolve every row's photo, judge all rows of a photo together, and return photo -> the rows that name it.

    A refusal reaches every photo that its row may mean or mentions (`resolve`'s second argument). Rows that agree
    are one; of others none counts.
    """
    naming: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found = [resolve(text, record.refuses) for text in record.texts or (record.file,) if text]
        for name in {name for target in found for name in target.claims}:
            naming[name].append(record)
        if found and not record.texts:
            record.file = found[0].name or record.file
            if found[0].reason:
                record.reject(found[0].reason, f'found "{record.file}"; {found[0].detail}')
    for name, rows in naming.items():
        refusing = next((record for record in rows if record.refuses), None)
        if refusing:
            _reject(rows, "consent_refused_elsewhere", f"line {refusing.line} refuses for this photo")
        elif len(rows) > 1:
            agree = len({record.says for record in rows}) == 1 and all(record.file == name for record in rows)
            detail = f"found one photo in {_lines(rows)}; expected one row for one photo"
            _reject(rows[1:] if agree else rows, "file_named_twice", detail)
    return dict(naming)


def _reject(rows: Iterable[Record], reason: str, detail: str) -> None:
    for record in rows:
        record.reject(reason, detail)


def _lines(rows: list[Record]) -> str:
    return "lines " + _listed([str(record.line) for record in rows])


def _listed(texts: Iterable[str]) -> str:
    every = list(texts)
    return ", ".join(every[:MAX_LISTED]) + (f" and {len(every) - MAX_LISTED} more" if len(every) > MAX_LISTED else "")
