"""XLSX files: what their cells say, whoever wrote them; and those that can't be read, or would fill the memory."""

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest
from django.db import models

from pieces.models import Piece, Project
from sync.files import spreadsheets, uploads
from sync.files.spreadsheets import Sheet
from sync.files.tables import Unusable, value_of
from sync.tests.files import packed
from sync.tests.uploading import LIST, page_of, uploaded
from tenants.models import Company
from tenants.tests.staff import admin_of, text_of

HEAD = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
TAIL = "</sheetData></worksheet>"
SHARED = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    b'spreadsheetml.sharedStrings+xml"/>'
)


def book(*rows: list[Any], others: tuple[str, ...] = (), merged: str = "") -> bytes:
    made, file = openpyxl.Workbook(), io.BytesIO()
    sheet = made.active
    for row in rows:
        sheet.append(row)
    for title in others:
        made.create_sheet(title)
    if merged:
        sheet.merge_cells(merged)
    made.save(file)
    return file.getvalue()


def with_parts(data: bytes, **parts: str | bytes) -> bytes:
    """The workbook with other parts: "sheet" and "strings", or by their own names."""
    names = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml", "styles": "xl/styles.xml"}
    wanted = {names[name]: part for name, part in parts.items()}
    file, types = io.BytesIO(), "[Content_Types].xml"
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        if "strings" in parts:
            wanted[types] = old.read(types).replace(b"</Types>", SHARED + b"</Types>")
        for name in [*old.namelist(), *(set(wanted) - set(old.namelist()))]:
            new.writestr(name, wanted[name] if name in wanted else old.read(name))
    return file.getvalue()


def cells(data: bytes) -> list[tuple[int, list[Any]]]:
    return [(number, row) for number, row, _ in Sheet(io.BytesIO(data)).rows()]


def test_cells_are_what_a_spreadsheet_shows() -> None:
    when = datetime(2026, 12, 24, 8, 30)
    rows = cells(book(["a", "b"], [1200.0, 0.5, True, "ä\nb"], [], [date(2026, 5, 1), when, "#N/A", None, 10**14]))
    assert rows == [
        (1, ["a", "b"]),
        (2, [1200, 0.5, True, "ä\nb"]),
        (4, [{"date": "2026-05-01T00:00:00"}, {"date": "2026-12-24T08:30:00"}, "#N/A", None, 10**14]),
    ]


def test_whoever_wrote_it_the_cells_are_found() -> None:
    """With a prefix, without references, rich and spoken texts, formulas with and without a result; from any row on."""
    strings = (
        '<x:sst xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><x:si><x:t>plain</x:t></x:si>'
        "<x:si><x:r><x:t>ri</x:t></x:r><x:r><x:t>ch</x:t></x:r></x:si>"
        "<x:si><x:t>東京</x:t><x:rPh sb='0' eb='2'><x:t>トウキョウ</x:t></x:rPh></x:si></x:sst>"
    )
    sheet = (
        '<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><x:sheetData>'
        '<x:row><x:c t="s"><x:v>0</x:v></x:c><x:c/><x:c t="s"><x:v>1</x:v></x:c></x:row>'
        '<x:row><x:c t="s"><x:v>2</x:v></x:c><x:c t="inlineStr"><x:is><x:t>in _x263A_</x:t></x:is></x:c></x:row>'
        '<x:row r="7"><x:c r="C7"><x:f>A1*2</x:f><x:v>1.2E3</x:v></x:c>'
        '<x:c r="D7" t="str"><x:f>B1</x:f><x:v>t</x:v></x:c>'
        '<x:c r="E7"><x:f>B1</x:f></x:c><x:c r="F7" t="e"><x:f>1/0</x:f><x:v>#DIV/0!</x:v></x:c></x:row>'
        '<x:row/><x:row><x:c t="b"><x:v>0</x:v></x:c></x:row></x:sheetData></x:worksheet>'
    )
    data = with_parts(book(["a"]), sheet=sheet, strings=strings)
    wanted = [
        (1, ["plain", None, "rich"]),
        (2, ["東京", "in ☺"]),
        (7, [None, None, 1200, "t", {"error": "a formula without its result"}, "#DIV/0!"]),
        (8, []),
        (9, [False]),
    ]
    assert cells(data) == wanted
    for done, (_, _, position) in enumerate(list(Sheet(io.BytesIO(data)).rows()), start=1):
        rest = [(number, row) for number, row, _ in Sheet(io.BytesIO(data)).rows(position)]
        assert rest == wanted[done:]


@pytest.mark.django_db(transaction=True)
def test_other_sheets_and_merged_cells_are_told(company: Company) -> None:
    staff = admin_of(company)
    data = book(
        ["Cutting list"], ["piece_id", "Länge", "Länge", None], ["1", 2, 3, 4], others=("Notes",), merged="A3:B4"
    )
    upload = uploaded(staff, data, "a.xlsx")
    assert upload.columns == ["piece_id", "Länge", "Länge (C)"]
    text = text_of(staff.get(page_of(upload)))
    assert "Only the first sheet was read, “Sheet”; not Notes." in text
    assert "Of merged cells only the first has the value, the others are empty: A3:B4." in text


NUMBER, TEXT = Piece._meta.get_field("outer_length"), Piece._meta.get_field("barcode")
FLAG, MOMENT = Piece._meta.get_field("is_active"), Project._meta.get_field("due_date")


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        *((NUMBER, text, 1200) for text in (1200, "1200", " 1200 ", "1200,0", "1200,")),
        *((NUMBER, text, text) for text in ("1200.5", "1200,5", "12 00", 1200.5, "1e3")),
        (NUMBER, "\\N", None),
        *((TEXT, number, "4079116004222") for number in (4079116004222, "4079116004222", " 4079116004222\u00a0")),
        *((TEXT, text, text) for text in ("007", "1.000", "1E5", "2026-05-01")),
        *((TEXT, cell, value) for cell, value in (("\\=1", "=1"), ("\\E", ""), (0.5, "0.5"), (True, True))),
        *((FLAG, text, True) for text in ("ja", "WAHR", "true", True)),
        *((FLAG, text, text) for text in ("perhaps", 1)),
        *((MOMENT, text, "2026-05-01") for text in ("1.5.2026", "01.05.2026", "2026-05-01")),
        (MOMENT, {"date": "2026-05-01T00:00:00"}, "2026-05-01T00:00:00"),
        (MOMENT, 46143, 46143),
    ],
)
def test_a_cell_says_what_a_person_means(field: "models.Field[Any, Any]", cell: Any, value: Any) -> None:
    found = value_of(cell, field)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("field", "cell", "said"),
    [
        *((NUMBER, text, "Thousands or decimals") for text in ("1.000", "1,000", "12.000", "-1.200", "1,234,567")),
        *((TEXT, text, "has shortened the number") for text in ("4.07912E+12", "4,07912e+12")),
        (TEXT, 4079116004222123, "more than 15 digits"),
        (TEXT, {"date": "2026-01-02T00:00:00"}, "has made a date of it"),
        (NUMBER, {"date": "2026-01-02T00:00:00"}, "has made a date of it"),
        *((field, "#N/A", "a formula has gone wrong") for field in (NUMBER, TEXT, FLAG, MOMENT)),
        (TEXT, "#BEZUG!", "a formula has gone wrong"),
        (NUMBER, {"error": "a formula without its result"}, "There is a formula without its result in the cell"),
    ],
)
def test_what_a_spreadsheet_has_spoilt_is_not_taken_for_a_value(
    field: "models.Field[Any, Any]", cell: Any, said: str
) -> None:
    with pytest.raises(Unusable, match=said):
        value_of(cell, field)


def bomb() -> bytes:
    return with_parts(book(["a"]), strings=b"<sst>" + b"<si><t>" + b"x" * (65 * 2**20))


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
HUGE = f'{HEAD}<row><c t="str"><v>{"x" * 200_000}</v></c></row>{TAIL}'
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing in it": (lambda: b"", "The file is empty."),
    "header only": (lambda: b"piece_id;outer_length\n", "it has no rows below the names of its columns"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "line 1: this is not UTF-8"),
    "Windows": (lambda: "piece_id;Länge\n1;2\n".encode("cp1252"), "line 1: this is not UTF-8"),
    "an old or locked one": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "of the old kind (.xls), or has a password"),
    "no spreadsheet": (lambda: zipped(a=b"b"), "it is no XLSX, or a damaged one"),
    "cut off": (lambda: book(["piece_id"], ["1"])[:-30], "it is no XLSX, or a damaged one"),
    "broken": (lambda: with_parts(book(["a"]), sheet=HEAD + "<row><c>"), "the sheet “Sheet” is damaged"),
    "a bomb": (bomb, "xl/sharedStrings.xml in it unpacks to more than 64 MiB"),
    "a bomb of styles": (lambda: with_parts(book(["a"]), styles=b" " * 2**24), "unpacks to more than 8 MiB"),
    "entities": (lambda: with_parts(book(["a"]), sheet=ENTITIES + HEAD + TAIL), "it declares entities"),
    "entities around": (lambda: with_parts(book(["a"]), styles=ENTITIES + "<a>&b;</a>"), "no XLSX, or a damaged one"),
    "a huge cell": (lambda: with_parts(book(["a"]), sheet=HUGE), "a cell of it has more than 65536 characters"),
    "many columns": (lambda: book(["a"] * 201), "it has more than 200 columns"),
    "many columns of text": (lambda: b"a;b" * 200 + b"\nx;y\n", "it has more than 200 columns"),
    "many rows": (lambda: b"piece_id\n" + b"1\n" * 31, "it has more than 30 rows"),
    "packed bomb": (lambda: packed(b"\n" * 3_000_000), "it unpacks to more than 1 MiB"),
    "packed and cut off": (lambda: packed(b"piece_id\n" + b"1\n" * 9)[:-9], "the gzip stream is truncated"),
}


def zipped(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as new:
        for name, part in parts.items():
            new.writestr(name, part)
    return file.getvalue()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", BAD)
def test_what_can_t_be_read_is_said_clearly(company: Company, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make, said = BAD[kind]
    monkeypatch.setattr(uploads, "MAX_ROWS", 30)
    monkeypatch.setattr(uploads, "MAX_UNPACKED", 2**20)
    staff = admin_of(company)
    if kind == "nothing in it":
        staff.post(f"{LIST}new/", {"entity": "pieces", "file": io.BytesIO(make())})
        assert said in text_of(staff.get(LIST))
        return
    upload = uploaded(staff, make(), "file.xlsx")
    assert upload.stage == "unreadable"
    text = text_of(staff.get(page_of(upload)))
    assert "Nothing was imported:" in text
    assert said in text


def test_openpyxl_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """However its XML is cut into chunks, and from each row on."""
    rows = [[f"text {row} & <{column}>" if column % 2 else row * column for column in range(9)] for row in range(50)]
    data = book(*rows)
    for size in (7, 100, 10**6):
        monkeypatch.setattr(spreadsheets, "CHUNK", size)
        read = list(Sheet(io.BytesIO(data)).rows())
        assert [row for _, row, _ in read] == rows
        for number, _, position in read[::7]:
            assert [row for _, row, _ in Sheet(io.BytesIO(data)).rows(position)] == rows[number:]
