"""The files that `manage.py import_entities` reads: NDJSON, JSON, CSV, gzip; and those that it can't read on."""

import io
import json
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pieces.models import Component, Piece, Project
from sync.files import reading
from sync.files.reading import BadFile, Source, json_rows, ndjson_rows, opened
from sync.files.tables import csv_rows
from sync.tests.files import faulty_lines, ndjson, packed, piece_ids, small_piece
from tenants.models import Company
from tenants.scope import every_company
from tenants.tests.commands import Manage, Outcome

FORMATS = ("ndjson", "json", "csv")


def source_of(data: bytes) -> Source:
    return Source(io.BufferedReader(io.BytesIO(data)))


def csv_file(component: Component, *numbers: object) -> bytes:
    above = f"{component.project_guid},{component.guid}"
    return "".join(["piece_id,project_guid,component_guid\n", *(f"{each},{above}\n" for each in numbers)]).encode()


def file_of(name: str, component: Component, count: int) -> bytes:
    if name == "csv":
        return csv_file(component, *range(count))
    items = [small_piece(component, number) for number in range(count)]
    return ndjson(items) if name == "ndjson" else orjson.dumps({"pieces": items}, option=orjson.OPT_INDENT_2)


class Import:
    """Imports pieces from bytes that are put into a file."""

    def __init__(self, manage: Manage, company: Company, path: Path) -> None:
        self.manage, self.company, self.path = manage, company, path

    def __call__(self, data: bytes, *arguments: object) -> Outcome:
        self.path.write_bytes(data)
        return self.manage("import_entities", self.path, "--company", self.company.guid, *arguments)


@pytest.fixture
def load(manage: Manage, company: Company, tmp_path: Path) -> Import:
    return Import(manage, company, tmp_path / "pieces")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("chosen", ["auto", None])
@pytest.mark.parametrize("wrap", [bytes, packed, lambda data: b"\xef\xbb\xbf" + data, lambda data: b"\n \n" + data])
def test_every_format_is_read_and_found_out(
    load: Import, component: Component, name: str, chosen: str | None, wrap: Any
) -> None:
    data = wrap(file_of(name, component, 3))
    if name == "csv" and data.startswith(b"\n"):
        data = data.removeprefix(b"\n \n")
    outcome = load(data, "--format", chosen or name, "--json")
    assert (outcome.code, outcome.err, outcome.json["inserted"]) == (0, "", 3)
    assert piece_ids() == ["0", "1", "2"]


def test_items_on_one_line_are_rows_of_their_own(
    manage: Manage, company: Company, component: Component, tmp_path: Path
) -> None:
    """As most programs write an array: each item is in, and what is wrong is said of the one that it is about."""
    pieces = [small_piece(component, number) for number in range(4)]
    pieces[1]["outer_length"], pieces[2]["component_guid"] = "x", uuid.uuid4()
    path, errors = tmp_path / "pieces.json", tmp_path / "errors.ndjson"
    path.write_bytes(orjson.dumps(pieces))
    outcome = manage("import_entities", path, "--company", company.guid, "--errors", errors, "--json")
    counts = {name: outcome.json[name] for name in ("rows", "inserted", "updated", "faulty")}
    assert counts == {"rows": 4, "inserted": 2, "updated": 0, "faulty": 2}
    assert piece_ids() == ["0", "3"]
    said = [(row["line"], row["piece_id"], [f["field"] for f in row["faults"]]) for row in faulty_lines(errors)]
    assert said == [(1, "1", ["outer_length"]), (1, "2", ["component_guid"])]


@pytest.mark.parametrize("name", FORMATS)
def test_standard_input_is_read(manage: Manage, company: Company, component: Component, name: str) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(packed(file_of(name, component, 3)))))
    with mock.patch("tenants.tests.commands.StringIO", return_value=stdin):
        outcome = manage("import_entities", "-", "--company", company.guid, "--json")
    assert (outcome.code, outcome.json["inserted"]) == (0, 3)


@pytest.mark.parametrize(
    ("data", "complaint", "imported"),
    [
        ("ndjson-long", "line 3: the line is longer than 4 MiB", 2),
        ("json-truncated", "line 3: the JSON breaks off in the item that begins here", 2),
        ("json-comma", """line 4: expected "," or "]", found '{'""", 2),
        ("json-stray", """line 4: expected an item, found '}'""", 2),
        ("json-more", """line 3: there is more after the end of the JSON, found '['""", 2),
        ("json-open", """line 2: expected "," or "]", found '}'""", 2),
        ("json-long", "line 3: the item that begins here is longer than 4 MiB", 2),
        ("json-wrong", "line 3: the item that begins here is no JSON: Expecting ':' delimiter", 2),
        ("json-deep", "line 3: the item that begins here has too many levels", 2),
        ("csv-encoding", "line 4: this is not UTF-8 (byte 0xfc at position 2); save the file as UTF-8", 2),
        ("csv-quote", "line 4: the row that begins here is no CSV: unexpected end of data", 2),
        ("csv-long", "line 4: the line is longer than 4 MiB", 2),
        ("csv-lines", "line 5: the row that ends here is longer than 4 MiB", 2),
        ("csv-tail", "line 4: the row that begins here is no CSV: ',' expected after '\"'", 2),
    ],
)
def test_what_comes_before_a_break_is_imported_and_the_break_is_named(
    load: Import, component: Component, data: str, complaint: str, imported: int
) -> None:
    one, two, three = (orjson.dumps(small_piece(component, number)) for number in range(3))
    table = csv_file(component, 0, 1)
    files = {
        "ndjson-long": one + b"\n" + two + b'\n{"info2": "' + b"x" * 2**23 + b'"}\n' + three,
        "json-truncated": b"[" + one + b",\n" + two + b",\n" + three[:-1],
        "json-comma": b"[\n" + one + b",\n" + two + b"\n" + three + b"]",
        "json-stray": b"[" + one + b",\n" + two + b",\n\n}]",
        "json-more": b"[" + one + b",\n" + two + b"]\n[]",
        "json-open": b'{"pieces": [' + one + b",\n" + two + b"}",
        "json-long": b"[" + one + b",\n" + two + b',\n{"info2": "' + b"x" * 2**23 + b'"}]',
        "json-wrong": b"[" + one + b",\n" + two + b',\n{"piece_id" 5},\n' + three + b"]",
        "json-deep": b"[" + one + b",\n" + two + b",\n" + b"[" * 10**5 + b"]" * 10**5 + b"]",
        "csv-encoding": table + b"J\xfcrgen\n",
        "csv-quote": table + b'5,"5,5\n5,5,5\n',
        "csv-long": table + b"5," * 2**22,
        "csv-lines": table + b'"' + (b"x" * 2**21 + b"\n") * 3 + b'",5,5\n',
        "csv-tail": table + b'"5"5,5,5\n',
    }
    outcome = load(files[data])
    assert outcome.code == 2
    assert f": {complaint}; {imported} rows are done, --resume goes on after them" in outcome.err
    assert outcome.out.splitlines()[0].split() == ["rows", str(imported)]
    assert piece_ids() == [str(number) for number in range(imported)]


def test_of_a_truncated_gzip_file_what_can_be_read_is_imported(load: Import, component: Component) -> None:
    whole = packed(
        ndjson(small_piece(component, n, info2=str(uuid.uuid5(component.guid, str(n)))) for n in range(3000))
    )
    outcome = load(whole[:-9])
    assert outcome.code == 2
    assert "the gzip stream is truncated; " in outcome.err
    assert len(piece_ids()) > 1000
    assert load(whole, "--resume", "--json").json["inserted"] == 3000
    assert piece_ids() == [str(number) for number in range(3000)]


def test_a_file_that_was_mended_goes_on_where_it_broke_off(load: Import, component: Component) -> None:
    table = csv_file(component, 0, 1)
    assert load(table + b"J\xfcrgen\n").code == 2
    assert load(csv_file(component, 0, 1, 2), "--resume", "--json").json["inserted"] == 3
    assert piece_ids() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("data", "arguments", "complaint"),
    [
        (b"", ["--format", "csv"], "line 1: there is no header row with the names of the columns"),
        (b"\n\n", ["--format", "csv"], "line 1: there is no header row"),
        (b"", ["--format", "json"], "the JSON breaks off"),
        (b"\x1f\x8bnot gzip", [], "the gzip stream is broken"),
        (b"\x1f", [], "the gzip stream is"),
        ('[{"piece_id"}]'.encode("utf-16"), [], "line 1: the file is in UTF-16; save it as UTF-8"),
        (b'{"windows": []}', ["--format", "json"], 'line 1: expected a JSON array, or {"pieces": […]}, found'),
        (
            b"piece_id,colour\n",
            [],
            'line 1: the column "colour" is no field of pieces (use --map); fields: angle_left,',
        ),
        (b"{}", ["--raw"], "--raw is for a CSV; this is ndjson"),
        (b"a,b\n", ["--map", "a=piece_id", "--map", "b=colour"], 'the column "b" is no field of pieces'),
        (b"piece_id,piece_id\n", [], 'line 1: the columns "piece_id" and "piece_id" are both piece_id'),
        (b"a,piece_id\n", ["--map", "a=piece_id"], 'line 1: the columns "a" and "piece_id" are both piece_id'),
        (b"piece_id\n", ["--map", "Nr=piece_id"], 'line 1: --map names "Nr", and the header has no such column'),
        (b"piece_id,company_name\n", [], 'the column "company_name" is no field of pieces'),
    ],
)
def test_a_file_that_can_not_be_read_at_all_is_one_clear_line(
    load: Import, component: Component, data: bytes, arguments: list[str], complaint: str
) -> None:
    outcome = load(data, *arguments)
    assert complaint in outcome.complaint
    assert outcome.code == 2


@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_an_empty_file_has_no_rows(load: Import, component: Component, data: bytes) -> None:
    outcome = load(data, "--json")
    assert (outcome.code, outcome.json["rows"]) == (0, 0)


@pytest.mark.parametrize("path", ["nowhere/pieces.csv", "."])
def test_a_path_that_is_no_file_is_one_clear_line(manage: Manage, company: Company, tmp_path: Path, path: str) -> None:
    outcome = manage("import_entities", tmp_path / path, "--company", company.guid)
    assert outcome.code == 2
    assert outcome.complaint.endswith(("No such file or directory", "Is a directory"))


# --- CSV --------------------------------------------------------------------------------------


def stored(piece_id: str) -> Piece:
    with every_company():
        piece: Piece = Piece.objects.get(piece_id=piece_id)
    return piece


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_may_have_other_names_other_delimiters_and_no_field(
    load: Import, component: Component, delimiter: str
) -> None:
    header = delimiter.join(["Artikel=Nr", '"Länge, mm; roh"', "project_guid", "component_guid", "Notiz", "created_at"])
    row = delimiter.join(["1", "1200", str(component.project_guid), str(component.guid), "x", "y"])
    names = ["--map", "Artikel=Nr=piece_id", "--map", "Länge, mm; roh=outer_length", "--map", "Notiz="]
    assert load(f"{header}\r\n{row}\r\n".encode(), *names).code == 0
    assert stored("1").outer_length == 1200


def test_an_empty_cell_says_nothing_and_null_and_the_empty_string_are_written_out(
    load: Import, component: Component
) -> None:
    guid = "11111111-0000-7000-8000-000000000001"
    head = "guid,piece_id,project_guid,component_guid,is_active,barcode,client,dealer,cell,angle_left,angle_right\n"
    above = f"{component.project_guid},{component.guid}"
    load(f"{head}{guid},1,{above},TRUE,b,c,d,\\\\N,45,90\n".encode())
    piece = stored("1")
    assert (piece.barcode, piece.client, piece.dealer, piece.cell, piece.angle_left) == ("b", "c", "d", "\\N", 45)
    load(f"{head}{guid},1,{above},,,\\N,\\E,\\x,,\\N\n".encode())
    piece = stored("1")
    assert (piece.barcode, piece.client, piece.dealer, piece.cell) == ("b", None, "", "\\x")
    assert (piece.angle_left, piece.angle_right) == (45, None)


def test_quoted_lines_are_counted_as_an_editor_counts_them(load: Import, component: Component) -> None:
    above = f"{component.project_guid},{component.guid}"
    rows = [f'1,"a\nb\r\nc",{above}', "", f"2,x,{above},5", f'3,"\n",{above}x', f"4,x,{above}"]
    outcome = load(("piece_id,info2,project_guid,component_guid\n" + "\n".join(rows)).encode())
    assert stored("1").info2 == "a\nb\r\nc"
    assert [line.partition(" ")[2].partition(":")[0] for line in outcome.err.splitlines()] == ["6", "7"]
    assert "line 6: The header has 4 columns, this row 5" in outcome.err
    assert piece_ids() == ["1", "4"]


# --- Large files in small steps ---------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(st.sampled_from('ab"\\[]{},:\n é')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a"]}'), max_size=2), inner),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 1, "\n"]), st.booleans())
def test_an_array_is_cut_into_its_elements_wherever_the_chunks_end(
    values: list[Any], chunk: int, indent: Any, wrapped: bool
) -> None:
    text = json.dumps({"projects": values} if wrapped else values, indent=indent, ensure_ascii=False)
    with mock.patch.object(reading, "CHUNK", chunk):
        found = list(json_rows(source_of(text.encode()), Project))
    assert [json.loads(row.raw) for row in found] == values
    lines = text.encode().split(b"\n")
    assert all(row.raw.split(b"\n")[0] in lines[row.line - 1] for row in found)


@pytest.mark.parametrize(
    "item",
    [
        rb'{"a":"\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":"\t"}',
        b'{"a":NaN}',
        b'{"a":1e400}',
        b"[%s]" % (b"9" * 5000),
        b'{"a":1,"a":2}',
    ],
)
def test_what_is_odd_within_an_element_is_handed_on_as_it_is(item: bytes) -> None:
    assert list(json_rows(source_of(b"[1,\n" + item + b"]"), Piece)) == [(1, b"1", None), (2, item, None)]


@given(st.lists(st.sampled_from([b"{}", b"[1]", b"x" * 40, b"", b"  "]), max_size=8))
def test_lines_stay_lines_wherever_the_start_ends(lines: list[bytes]) -> None:
    """The start of the file, which shows its format, is read before its lines are."""
    found = [(row.line, row.raw) for row in ndjson_rows(source_of(b"\n".join(lines)))]
    assert found == [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def test_the_row_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(2 * 2**30)  # sparse: it takes no room on the disk
    for reader in (ndjson_rows, lambda source: csv_rows(source, Piece, {})):
        with opened(str(path)) as source:
            with pytest.raises(BadFile, match="line 1: the line is longer than 4 MiB"):
                list(reader(source))
            assert source.position < 3 * reading.MAX_ROW


def test_the_largest_piece_is_within_the_limit_of_a_row() -> None:
    longest = {
        field.attname: "\\u0001" * (field.max_length or 0)
        for field in Piece.settable_fields()
        if field.get_internal_type() == "CharField"
    }
    assert len(str(longest)) + 256 * 1024 * 4 / 3 < reading.MAX_ROW / 2
