"""One class of disease from a diagnosis text and ICD-10 codes, or why they name none."""

import re
from functools import lru_cache

from models.records.vocabulary import (
    CODES,
    DOUBT,
    MARKED,
    NEUTRAL,
    NEUTRAL_SIGNS,
    NORMAL_CODES,
    PLACEHOLDERS,
    TEXTS,
    key,
    visible,
    words,
)

SEVERAL, DOUBTFUL, CONFLICT, UNKNOWN = "several", "doubtful", "conflict", "unknown"
_EXACT = {code.replace(".", "") for code in NORMAL_CODES}
# C44.1121, c44 11, H06.2*, E05.0+, C44.11-, H10.1 G R: behind the code the mark of a pair, then ICD-10-GM's
# certainty (Gesichert, Verdacht, Ausschluss, Zustand nach) and side
CODE = re.compile(
    r"(?<![A-Z])([A-Z])\s?(\d\d)(?:\s?[.,]\s?(\d{1,4})|(\d{1,4}))?(?:\.?-)?\s?[*†‡+#!]?"
    r"(?:\s?([GVAZ])?\s?[RLB]?(?![A-Z0-9]))?(?!\.?\d)"
)
UNSURE = re.compile(r"[?？¿؟‽~≈≠¬∅]|^\s*[-–—−!<>]")  # a ! behind a code is a mark of its own
SYSTEM = re.compile(r"\b(ICD|CIM)[\s-]?10([\s-]?(GM|CM|WHO|FR))?\s?:?", re.IGNORECASE)
# Other findings at the eye and its lids: seen on the photo beside the class
OF_THE_EYE = re.compile(r"H[0-5]|C44|C69|D04|D22|D23|D31|Q1[0-5]|S05|T15|T26|B30|A71|B00")
SEPARATORS = re.compile(r"[;|/+&,、，；\n]|\b(?:and|und|et|sowie|with|mit|avec|plus)\b|[和及伴]", re.IGNORECASE)
SURE = frozenset(["g", "gesichert", "confirmed", "certain", "sure", "definite", "confirme", "certaine", "确诊", "确定"])


@lru_cache(1 << 16)
def disease_of(text: str, code: str, certainty: str = "") -> str:
    """Return the class that a diagnosis text and its codes name, or `unknown`, `conflict`, `several`, `doubtful`.

    A code outside the vocabulary is overruled by a known text, except that "normal" needs a fitting code or none.
    """
    by_code, num_codes, rest = _class_of_codes(code)
    stated = [part for part in (visible(text), rest) if _is_stated(part)]
    by_text = _class_of_texts(stated)
    if _is_stated(certainty) and key(certainty) not in SURE:
        return DOUBTFUL
    for trouble in (DOUBTFUL, SEVERAL):
        if trouble in (by_code, by_text):
            return trouble
    if by_text and by_code:
        return by_text if by_text == by_code else CONFLICT
    if by_code and (stated or (by_code == "normal" and num_codes > 1)):
        return CONFLICT
    if by_text == "normal" and num_codes:
        return CONFLICT
    return by_text or by_code or UNKNOWN


def _class_of_codes(cell: str) -> tuple[str, int, str]:
    """Return the codes' class ("" for none known), how many there are, and what the cell says besides."""
    upper = SYSTEM.sub(" ", visible(cell)).upper()
    if UNSURE.search(upper):
        return DOUBTFUL, len(CODE.findall(upper)), ""
    found = list(CODE.finditer(upper))
    rest = " ".join(part.strip(" .:,;|/+&()[]") for part in CODE.sub("\n", upper).split("\n"))
    compact = {"".join(group or "" for group in match.groups()[:4]) for match in found}
    classes = {_class_of_code(code) for code in compact} - {""}
    beside = [code for code in compact if not _class_of_code(code) and OF_THE_EYE.match(code)]
    if any(match[5] in ("V", "A", "Z") for match in found):
        return DOUBTFUL, len(compact), rest.strip()
    if len(classes) > 1 or (classes and beside):
        return SEVERAL, len(compact), rest.strip()
    return next(iter(classes), ""), len(compact), rest.strip()


def _class_of_code(code: str) -> str:
    if code in _EXACT:
        return "normal"
    return next((name for stem, name in CODES.items() if code.startswith(stem)), "")


def _class_of_texts(texts: list[str]) -> str:
    """Return the one class that all parts of the texts name, "" where a part is not understood."""
    classes = set()
    for text in texts:
        classes |= _classes_of_text(text)
    if DOUBTFUL in classes:
        return DOUBTFUL
    known = classes - {""}
    if len(known) > 1:
        return SEVERAL
    return next(iter(known), "") if len(classes) == 1 else ""


def _classes_of_text(text: str) -> set[str]:
    if MARKED.search(text):
        return {DOUBTFUL}
    folded = _possessive(text)
    if key(folded) in TEXTS:
        return {TEXTS[key(folded)]}
    if DOUBT.search(words(folded)):
        return {DOUBTFUL}
    parts = [part for part in SEPARATORS.split(folded) if words(part)]
    return {name for name in map(_class_of_part, parts) if name is not None}


def _class_of_part(part: str) -> str | None:
    """Return the class of a part, "" where it is not understood, None where it only says where or how much."""
    left = part
    for signs in (None, *NEUTRAL_SIGNS):
        left = signs.sub(" ", left) if signs else left
        if key(left) in TEXTS:
            return TEXTS[key(left)]
    plain = "".join(word for word in words(left).split() if word not in NEUTRAL)
    return TEXTS.get(plain, "") if plain else None


def _possessive(text: str) -> str:
    return re.sub(r"['’`]s\b|s['’`](?=\s)", lambda match: "s" if match[0][0] == "s" else "", text)


def _is_stated(text: str) -> bool:
    return "?" in text or key(text) not in PLACEHOLDERS | {""}
