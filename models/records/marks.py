"""What an Excel file tells beside the values of its cells: comments, text boxes, page headers, strokes, number formats.

A person who looks at the sheet reads them; who refuses there must not be kept because a table has no column for it.
"""

import html
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from models.records.cells import tells_withdrawal

BESIDE = re.compile(r"^xl/(comments|threadedComments|drawings)\b.*\.xml$")
HEADER = re.compile(r"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)>(.*?)</", re.DOTALL)
TEXT = re.compile(r"<(?:\w+:)?t(?:ext)?(?:\s[^>]*)?>([^<]+)(?=<)")
LITERAL = re.compile(r'"([^"]*)"')  # of a number format: shown in place of the number, or beside it
REMEDY = "write who refuses or withdrew into the table's consent column, then take the mark away"


def refuse_beside(packed: zipfile.ZipFile, file: str) -> None:
    """Raise ValueError where a comment, a text box or a page's header tells of a refusal or withdrawal."""
    for name in packed.namelist():
        if BESIDE.match(name):
            what, texts = "a comment or text box", TEXT.findall(_read(packed, name))
            texts.append(" ".join(texts))  # a text in several formats is in several pieces
        elif name.startswith("xl/worksheets/sheet"):
            what, texts = "a page's header or footer", HEADER.findall(_read(packed, name)[-(1 << 16) :])
        else:
            continue
        if any(tells_withdrawal(re.sub(r"&[A-Z]", " ", html.unescape(text))) for text in texts):
            raise ValueError(f"records: {what} of {file} tells of a refusal or withdrawal; {REMEDY}")


def telling_styles(book: Any) -> dict[int, str]:
    """Return {style: how} of the styles that strike a cell through, or show words of a withdrawal for its number."""
    struck = {index for index, font in enumerate(book._fonts) if font.strike}
    found = {}
    for style, array in enumerate(book._cell_styles):
        shown = " ".join(LITERAL.findall(_format(book, array.numFmtId)))
        if array.fontId in struck:
            found[style] = "struck through"
        elif shown and tells_withdrawal(shown):
            found[style] = "shown as a refusal or withdrawal by its number format"
    return found


def refuse_marked(rows: Iterator[Any], styles: dict[int, str], file: str) -> Iterator[Any]:
    """Yield the rows of a sheet as they are; raises ValueError at a cell of a value that a style takes back."""
    for number, row in enumerate(rows, start=1):
        for cell in row if styles else ():
            how = styles.get(getattr(cell, "_style_id", -1))
            if how and cell.value is not None:
                raise ValueError(
                    f"records: line {number} of {file} is {how}, at least in part; {REMEDY}, or delete the line"
                )
        yield row


def _format(book: Any, number: int) -> str:
    custom = book._number_formats
    return custom[number - 164] if 164 <= number < 164 + len(custom) else ""


def _read(packed: zipfile.ZipFile, name: str) -> str:
    return packed.read(name).decode("utf-8", errors="replace")
