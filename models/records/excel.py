"""The first visible sheet of an Excel file as rows of text, as a person who looks at it reads them."""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from models.records.cells import tells_withdrawal
from models.records.marks import refuse_beside, refuse_marked, telling_styles

MAX_UNPACKED_BYTES = 1 << 31
SAFE_DIGITS = 15  # Excel keeps no more: a longer number is not the one that was typed
OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = b"PK\x03\x04"


def is_workbook(data: bytes) -> bool:
    """Tell whether bytes are an Excel file or another office document, whatever the file's name says."""
    return data.startswith((ZIP, OLD_EXCEL))


def read_sheet(data: bytes, file: str) -> tuple[list[list[str]], str, set[int]]:
    """Return every row of the first visible sheet, from row 1, a word on other sheets, and which rows are hidden.

    Formulas give the values that were saved with them. Raises ValueError for anything but xlsx.
    """
    if data.startswith(OLD_EXCEL):
        raise ValueError(
            f"records: {file} is an old or password-protected Excel file; save it as .xlsx without a password, "
            "or as CSV UTF-8"
        )
    import openpyxl  # costs half a second that a CSV file does not need

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
            names = packed.namelist()
        if "xl/workbook.xml" not in names:
            raise ValueError(f"records: {file} is an archive, but no Excel file; save the table as .xlsx or CSV UTF-8")
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"records: {file} unpacks to {size} bytes; save its table alone as CSV UTF-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that a table of texts does not need
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not sheets:
            raise ValueError(f"records: {file} has no visible sheet; show the one with the table")
        rows = [_texts(row) for row in refuse_marked(_cells(sheets[0]), telling_styles(book), file)]
        width = max(map(len, rows), default=0)  # a row ends with its last cell that states something
        rows = [row + [""] * (width - len(row)) for row in rows]
        hidden = _hidden_rows(data, sheets[0])
        _refuse_withdrawals(book.worksheets, sheets[0], file)
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            refuse_beside(packed, file)
    except (zipfile.BadZipFile, KeyError, OSError, SyntaxError) as error:
        raise ValueError(f"records: {file} is a damaged Excel file ({type(error).__name__}); save it again") from None
    left_out = len(book.worksheets) - 1
    note = f"the first visible of {left_out + 1} sheets was read, {left_out} left out" if left_out else ""
    return rows, note, hidden


def _refuse_withdrawals(sheets: list[Any], read: Any, file: str) -> None:
    """Raise ValueError where a sheet that isn't read, visible or not, tells in its name or a cell of a withdrawal."""
    for number, sheet in enumerate(sheets, start=1):
        if sheet is read:
            continue
        cells = (cell for row in _cells(sheet) for cell in _texts(row))
        if any(map(tells_withdrawal, (sheet.title, *cells))):
            raise ValueError(
                f"records: sheet {number} of {file} tells of refusals or withdrawals, and one sheet alone is read; "
                "put them into the table's consent column, then delete that sheet"
            )


def _hidden_rows(data: bytes, sheet: Any) -> set[int]:
    """Return the rows, from 0, that a filter or a person hid: nobody who looks at the sheet has seen them."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        tags = re.findall(rb"<(?:\w+:)?row\b[^>]*>", packed.read(sheet._worksheet_path.lstrip("/")))
    found, at = set(), 0
    for tag in tags:
        number = re.search(rb'\br="(\d+)"', tag)
        at = int(number[1]) if number else at + 1
        if re.search(rb'\b(hidden="(1|true)"|ht="0(\.0*)?")', tag):
            found.add(at - 1)
    return found


def _cells(sheet: Any) -> Iterator[Any]:
    sheet.reset_dimensions()  # what a file says of its own size may be wrong
    return sheet.iter_rows()


def _texts(row: Any) -> list[str]:
    return [_text(cell.value, getattr(cell, "number_format", "")) for cell in row]


def _text(value: Any, number_format: str) -> str:
    """Return a cell as text: whole numbers with the zeros that their format shows, days in ISO form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**SAFE_DIGITS:
        value = int(value)
    if isinstance(value, int):
        digits = str(value)
        if len(digits.lstrip("-")) > SAFE_DIGITS:
            return f"{value:.5E}"
        return digits.zfill(len(number_format)) if re.fullmatch(r"0{2,}", number_format or "") else digits
    return str(value)
