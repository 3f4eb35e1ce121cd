"""What an Excel file tells beside its values is heard: nobody is kept who refused in a comment."""

import io
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from openpyxl.comments import Comment
from openpyxl.styles import Font

from models.records.excel import read_sheet


def workbook(mark: Callable[[Any], None]) -> bytes:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (("patient_id", "file", "consent", "number"), ("P1", "a.png", "yes", 1), ("P2", "b.png", "yes", 0)):
        sheet.append(row)
    mark(sheet)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def comment(text: str) -> Callable[[Any], None]:
    def mark(sheet: Any) -> None:
        sheet["A3"].comment = Comment(text, "someone")

    return mark


def strike(sheet: Any) -> None:
    for cell in sheet[3]:
        cell.font = Font(strike=True)


def shown(text: str) -> Callable[[Any], None]:
    def mark(sheet: Any) -> None:
        sheet["D3"].number_format = f'0;-0;"{text}"'

    return mark


def header(text: str) -> Callable[[Any], None]:
    def mark(sheet: Any) -> None:
        sheet.oddHeader.center.text = text

    return mark


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (comment("Patient hat widerrufen"), r"a comment or text box of t\.xlsx tells of a refusal or withdrawal"),
        (comment("consentement retiré le 3 mai"), "a comment or text box"),
        (strike, r"line 3 of t\.xlsx is struck through, at least in part; write who refuses"),
        (shown("withdrawn"), r"line 3 of t\.xlsx is shown as a refusal or withdrawal by its number format"),
        (header("P2: consent withdrawn"), "a page's header or footer"),
    ],
)
def test_a_mark_that_takes_a_row_back_is_refused_with_the_remedy(mark, message):
    with pytest.raises(ValueError, match=message):
        read_sheet(workbook(mark), "t.xlsx")


@pytest.mark.parametrize(
    "mark", [comment("left eye first"), shown("years"), header("Eye clinic, page &P"), lambda sheet: None]
)
def test_other_marks_are_nobodys_refusal(mark):
    rows, _, _ = read_sheet(workbook(mark), "t.xlsx")
    assert [row[0] for row in rows] == ["patient_id", "P1", "P2"]
