"""Every physical line of a table has its place: a record, a heading, a title, a blank; or the table is refused."""

import io

import openpyxl
import pytest

from models.records.reading import read_table
from models.records.record import read_records

HEADER = "patient_id,visit_date,eye,diagnosis_code,diagnosis,age,sex,consent,file"
ROW = "p{0},2020-01-02,right,H10.1,Conjunctivitis,4{0},F,yes,{0}.png"
ROWS = [ROW.format(number) for number in range(5)]


def table(tmp_path, text: str | bytes, name: str = "records.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_titles_blanks_headings_and_sums_are_counted(tmp_path, end):
    lines = ["Export of the eye clinic", "", HEADER, ROWS[0], "", ROWS[1], HEADER, ROWS[2], ",,,,,,,,", "Total: 3"]
    found = table(tmp_path, end.join(lines) + end)
    assert found.lines == {"preamble": 2, "heading": 2, "records": 3, "blank": 2, "footer": 1}
    assert [(row.line, row.problem) for row in found.rows] == [(4, ""), (6, ""), (8, "")]


@pytest.mark.parametrize("told", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_separator_that_a_spreadsheet_tells(tmp_path, told):
    found = table(tmp_path, "\n".join([told, HEADER.replace(",", ";"), ROWS[0].replace(",", ";")]))
    assert found.lines == {"preamble": 1, "heading": 1, "records": 1}


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("column", range(9))
@pytest.mark.parametrize("is_quoted", [False, True])
def test_a_quote_that_is_never_closed_loses_no_line(tmp_path, at, column, is_quoted):
    lines = [line.split(",") for line in [HEADER, *ROWS]]
    if is_quoted:
        lines = [[f'"{cell}"' for cell in line] for line in lines]
    lines[at][column] = '"' + lines[at][column]
    try:
        found = table(tmp_path, "\n".join(map(",".join, lines)))
    except ValueError as error:
        said = str(error)
        assert f"line {at + 1}: a quotation mark" in said
    else:
        assert is_quoted  # "" closes at once: the one row is bad, the others stand
        assert [row.problem for row in found.rows] == ["bad_row" if n == at else "" for n in range(1, 6)]


def test_cells_of_several_lines_are_read_unless_they_look_like_records(tmp_path):
    header = HEADER + ",comment"
    fine = ROWS[0] + ',"red,\nswollen"'
    found = table(tmp_path, "\n".join([header, fine, ROWS[1] + ","]))
    assert found.lines == {"preamble": 0, "heading": 1, "records": 2, "continuation": 1}
    assert [row.line for row in found.rows] == [2, 4]
    for cell in ("see\n1.png", "a\n" + ROWS[2], "\n,,,,,,,,,\n"):
        with pytest.raises(ValueError, match="line 2: a quotation mark"):
            table(tmp_path, "\n".join([header, f'{ROWS[0]},"{cell}"', ROWS[1] + ","]))


def test_one_row_of_another_encoding_is_marked_and_turns_no_other(tmp_path):
    lines = [HEADER, ROWS[0].replace("p0", "Zoë"), ROWS[1].replace("p1", "Jürg"), ROWS[2].replace("p2", "Änne")]
    data = b"\n".join([lines[0].encode(), lines[1].encode(), lines[2].encode("cp1252"), lines[3].encode()])
    found = table(tmp_path, data)
    assert [(row.cells[0], row.problem) for row in found.rows] == [("Zoë", ""), ("Jürg", "bad_encoding"), ("Änne", "")]


def test_a_second_heading_in_another_order_refuses_the_table(tmp_path):
    other = HEADER.replace("patient_id", "X").replace("file", "patient_id").replace("X", "file")
    with pytest.raises(ValueError, match="line 3: a second heading with other columns"):
        table(tmp_path, "\n".join([HEADER, ROWS[0], other, ROWS[1]]))


def workbook(*rows, hidden: tuple = ()) -> bytes:
    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    if hidden:
        first.title, first.sheet_state = "old", "hidden"
        first.append(hidden)
        first = book.create_sheet("records")
    for row in rows:
        first.append(row)
    first["A3"].number_format = "00000"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("cells", [("p1", "Einwilligung widerrufen"), ("patient", "opt-out"), ("p1", "撤回")])
def test_withdrawals_on_a_sheet_that_is_not_read_refuse_the_table(tmp_path, cells):
    path = tmp_path / "records.xlsx"
    path.write_bytes(workbook(HEADER.split(","), ROWS[0].split(","), hidden=cells))
    with pytest.raises(ValueError, match=r"sheet 1 of records\.xlsx tells of refusals or withdrawals"):
        read_records(path)


@pytest.mark.parametrize("name", ["records.xlsx", "records.csv"])
def test_an_excel_file_is_read_whatever_it_is_called(tmp_path, name):
    import datetime

    day = datetime.datetime(2020, 1, 2)
    data = workbook(("Clinic",), HEADER.split(","), (123, day, "OD", "H10.1", None, 40.0, 2, True, "a.png"), (),
                    ("p2", 43832, "bds.", "H10.1", None, 41, "Frau", "ja", "b.png"),
                    hidden=("not", "this"))  # fmt: skip
    path = tmp_path / name
    path.write_bytes(data)
    records, found, unread = read_records(path)
    assert [(r.line, r.patient_id, r.visit_date, r.eye, r.age, r.gender, r.consent) for r in records] == [
        (3, "00123", "2020-01-02", "right", 40, "female", "yes"),
        (5, "p2", "2020-01-02", "both", 41, "female", "yes"),
    ]
    assert not unread
    assert found.lines == {"preamble": 1, "heading": 1, "records": 2, "blank": 1}
    assert found.note == "the first visible of 2 sheets was read, 1 left out"


@pytest.mark.parametrize(("data", "said"), [
    (b"", "is empty; export the table again"), (b"\xef\xbb\xbf", "is empty"), (b"\n\n\n", "lacks the column"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), r"old or password-protected .* save it as \.xlsx"),
    (b"PK\x03\x04" + bytes(60), "damaged Excel file"), (b"%PDF-1.4", "is no table"), 
    (b"p1,yes,a.png\n", "lacks the column"),
    (HEADER.replace("consent", "notes").encode(), "lacks the column consent"),
    (HEADER.replace("eye", "alter").encode(), r"several columns for age in columns 3, 6; keep one of each"),
])  # fmt: skip
def test_a_file_that_is_no_table_says_what_to_do(tmp_path, data, said):
    with pytest.raises(ValueError, match=said):
        table(tmp_path, data)


def test_no_error_tells_a_cell(tmp_path):
    with pytest.raises(ValueError, match="lacks the column") as caught:
        table(tmp_path, "Huber Anna,yes,huber.png\nLang Rosa,yes,lang.png\n")
    assert not any(word in str(caught.value) for word in ("Huber", "huber", "Lang"))


def test_headings_alone_are_a_table_without_records(tmp_path):
    found = table(tmp_path, HEADER + "\n")
    assert (found.rows, sum(found.lines.values())) == ([], 1)
