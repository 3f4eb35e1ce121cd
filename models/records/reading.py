"""A record table in any dialect to rows of text, with an account of every physical line of its file."""

import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.photos.formats import format_of
from models.records.cells import tells_withdrawal
from models.records.encoding import decode_lines
from models.records.excel import is_workbook, read_sheet
from models.records.headings import REQUIRED, Column, check_columns, columns_of, missing
from models.records.refusals import CONSENTS
from models.records.vocabulary import HEADINGS, SUMS, key, words

DELIMITERS = ",;\t|"
HEADING_WITHIN = 30  # lines of titles and the like may stand before it
MAX_CELL_LINES = 200  # a longer cell is a quotation mark that nobody closed
MAX_CELL = 1 << 17  # characters; what the csv module takes
HIDDEN = "found a row that is hidden in the sheet; show it, or take it out"
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
PICTURE_NAME = re.compile(r"\.(jpe?g|png|tiff?|bmp|webp|gif|heic|heif|avif|dcm|dng)\b", re.IGNORECASE)
# line -> its record's cells, how many lines it takes, and what is wrong with it
Taker = Callable[[int], tuple[list[str], int, str]]


class UnpairedQuote(Exception):
    """A quotation mark swallows the lines that follow."""


@dataclass(slots=True)
class Row:
    """A record as it stands in its file: `line` counts physical lines from 1, `problem` is a reason or ""."""

    line: int
    cells: list[str]
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A file's records; `lines` counts its physical lines by what they are and is complete."""

    file: str
    columns: list[Column]
    rows: list[Row]
    lines: dict[str, int] = field(default_factory=dict)
    note: str = ""


def read_table(path: Path) -> Table:
    """Read a table of text or Excel; raises ValueError that says what to mend, never what a cell holds."""
    if not path.is_file():
        raise ValueError(f"records: {path.name} is not in the source folder; set ingest_patients.records to its name")
    data, note = path.read_bytes(), ""
    if is_workbook(data):
        sheet, note, hidden = read_sheet(data, path.name)
        lines = [(cells, True) for cells in sheet]
        takers: list[Taker] = [lambda at: (sheet[at], 1, HIDDEN if at in hidden else "")]
        first = 0
    else:
        if (kind := format_of(data[:4096])) and kind != "BMP":  # a heading may begin with BM
            raise ValueError(f"records: {path.name} is no table ({kind}); export it as .xlsx or CSV UTF-8")
        lines = decode_lines(data)
        texts = [text for text, _ in lines]
        told = SEPARATOR.fullmatch(texts[0].strip()) if texts else None
        first = int(told is not None)
        takers = [_taker(texts, delimiter) for delimiter in (told[1] if told else DELIMITERS)]
    heading, columns, take = _find_heading(takers, first, len(lines), path.name)
    rows, counts = _collect(heading, columns, take, [sure for _, sure in lines], path.name)
    counts["preamble"] += heading
    _check_preamble([",".join(take(at)[0]) for at in range(first, heading)], path.name)
    table = Table(path.name, columns, rows, dict(counts), note)
    assert sum(counts.values()) == len(lines), counts  # every physical line has its place
    return table


def _taker(texts: list[str], delimiter: str) -> Taker:
    """Return the function that reads the record which begins at a line."""

    def take(at: int) -> tuple[list[str], int, str]:
        if '"' not in texts[at]:
            return texts[at].split(delimiter), 1, ""
        text, end = texts[at], at + 1
        while True:
            try:
                return (
                    next(csv.reader(re.findall(r"[^\n]*\n|[^\n]+$", text), delimiter=delimiter, strict=True)),
                    end - at,
                    "",
                )
            except csv.Error as error:
                if "unexpected end" not in str(error):
                    if end - at > 1:
                        raise UnpairedQuote from None
                    return texts[at].split(delimiter), 1, "a quotation mark stands inside a quoted cell"
            if end == len(texts) or end - at > MAX_CELL_LINES or len(text) > MAX_CELL:
                raise UnpairedQuote
            text, end = f"{text}\n{texts[end]}", end + 1

    return take


def _find_heading(takers: list[Taker], first: int, num_lines: int, file: str) -> tuple[int, list[Column], Taker]:
    """Return the line that has all required columns, its columns, and the reader whose delimiter shows them."""
    best: tuple[int, int, list[Column], Taker] | None = None
    for at in range(first, min(num_lines, first + HEADING_WITHIN)):
        for take in takers:
            try:
                columns = columns_of(take(at)[0])
            except UnpairedQuote:
                continue
            known = len({column.name for column in columns} - {""})
            if best is None or known > best[0]:
                best = (known, at, columns, take)
        if best and not missing(best[2]):
            break
    if best is None:
        raise ValueError(f"records: {file} is empty; export the table again with its heading line")
    _, at, columns, take = best
    check_columns(columns, file, at + 1)
    return at, columns, take


def _collect(
    heading: int, columns: list[Column], take: Taker, sure: list[bool], file: str
) -> tuple[list[Row], Counter[str]]:
    """Return the records below the heading, and the counts of all lines from the heading on."""
    rows: list[Row] = []
    at = heading + take(heading)[1]
    counts = Counter({"heading": at - heading})
    consent = next(column.index for column in columns if column.name == "consent")
    while at < len(sure):
        try:
            cells, length, problem = take(at)
        except UnpairedQuote:
            raise _refused(file, at) from None
        if length > 1:
            _check_long(cells, columns, file, at)
        if not "".join(cells).strip():
            counts["blank"] += length
        elif length == 1 and _is_footer(cells):
            if any(map(tells_withdrawal, cells)):
                rows.append(Row(at + 1, cells, "bad_row", "found a line that ends the list and tells of a refusal; "
                                "expected a row for the patient"))  # fmt: skip
            else:
                counts["footer"] += 1
        elif consent < len(cells) and key(cells[consent]) in HEADINGS and _is_heading(cells, columns, file, at):
            counts["heading"] += length
        else:
            is_sure = sure[at] if length == 1 else all(sure[at : at + length])
            rows.append(_row(at, cells, len(columns), problem, is_sure))
            counts["continuation"] += length - 1
        at += length
    counts["records"] = len(rows)
    return rows, +counts


def _row(at: int, cells: list[str], num_columns: int, problem: str, is_sure: bool) -> Row:
    """Return a record, cut to the heading's width where only empty cells go beyond it."""
    if problem:
        return Row(at + 1, cells, "bad_row", problem)
    if len(cells) != num_columns and (len(cells) < num_columns or "".join(cells[num_columns:]).strip()):
        return Row(at + 1, cells, "bad_row", f"found {len(cells)} cells; expected {num_columns}, as in the heading")
    if not is_sure:
        return Row(at + 1, cells[:num_columns], "bad_encoding",
                   "found bytes of another encoding than the other lines'; expected UTF-8")  # fmt: skip
    return Row(at + 1, cells[:num_columns])


def _check_long(cells: list[str], columns: list[Column], file: str, at: int) -> None:
    """Refuse the table where a cell of several lines may hold records: those would vanish uncounted."""
    essential = {column.index for column in columns if column.name in (*REQUIRED, "withdrawal")}
    for index, cell in enumerate(cells):
        if "\n" not in cell:
            continue
        num_delimiters = max(cell.count(delimiter) for delimiter in DELIMITERS)
        if (
            index in essential
            or num_delimiters >= len(columns) - 1
            or PICTURE_NAME.search(cell)
            or any(map(_answers, cell.split("\n")))
        ):
            raise _refused(file, at)
    if len(cells) != len(columns):
        raise _refused(file, at)


def _answers(line: str) -> bool:
    """Tell whether one of a line's cells is a yes or a no, as in a record."""
    pieces = re.split(f"[{DELIMITERS}]", line)
    return len(pieces) > 1 and any(key(piece) in CONSENTS and not piece.strip().isdigit() for piece in pieces)


def _is_footer(cells: list[str]) -> bool:
    """Tell whether a line sums up or ends the list: "Total: 15", "Summe;;15", "end of report"."""
    stated = [cell for cell in cells if words(cell)]
    if not 1 <= len(stated) <= 3 or any(PICTURE_NAME.search(cell) or _answers(cell + ",") for cell in stated[1:]):
        return False
    return words(stated[0]).split()[0] in SUMS and not PICTURE_NAME.search(stated[0])


def _check_preamble(lines: list[str], file: str) -> None:
    """Refuse the table where a record stands before the heading."""
    for number, line in enumerate(lines, 1):
        if PICTURE_NAME.search(line) or _answers(line):
            raise ValueError(
                f"records: {file}, line {number} looks like a record and stands before the heading; "
                "put the heading first"
            )
        if tells_withdrawal(line):
            raise ValueError(
                f"records: {file}, line {number} stands before the heading and tells of a refusal or withdrawal; put "
                "it into the patient's row, and take the line out"
            )


def _refused(file: str, at: int) -> ValueError:
    return ValueError(
        f"records: {file}, line {at + 1}: a quotation mark opens there and what follows up to the next one looks like "
        "further records; close or remove it, and export cells without line breaks, so that no record is lost"
    )


def _is_heading(cells: list[str], columns: list[Column], file: str, at: int) -> bool:
    """Tell whether the heading comes again, as in tables that were put behind one another."""
    again = columns_of(cells)
    if missing(again):
        return False
    found, expected = ([(column.name, column.unit, column.codes) for column in both] for both in (again, columns))
    if found != expected:
        raise ValueError(
            f"records: {file}, line {at + 1}: a second heading with other columns; keep one table in the file"
        )
    return True
