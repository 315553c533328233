"""Tables: CSV in and out, and what people's own tables mean. A cell is `\\N` for null and `\\E` for the empty text; an
empty cell says nothing, so that the field keeps its value. A text that is itself `\\N` or `\\E` has one backslash more
in front; so has, unless the file is raw, what a spreadsheet would run as a formula (pieces.formulas)."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from django.db import models

from pieces.formulas import escaped, unescaped
from pieces.models import READ_ONLY, Entity
from ractory.api.errors import Fault, shown
from ractory.api.rendering import to_json
from sync.files.reading import MAX_ROW, BadFile, FileRow, Source

NULL, EMPTY = "\\N", "\\E"
ESCAPED = re.compile(r"\\+[NE]")
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
BOOLEANS = {"true": True, "false": False}
DELIMITERS = ",;\t"

# What people and other programs call the fields, beside their names; letters and digits only.
ALSO_CALLED: dict[str, list[str]] = orjson.loads((Path(__file__).parent / "synonyms.json").read_bytes())
IN_BRACKETS = re.compile(r"[\[(][^\[\]()]*[\])]")
THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}([.,][0-9]{3})+")
DECIMAL_COMMA = re.compile(r"([+-]?[0-9]+),0*")
SHORTENED = re.compile(r"[0-9][.,][0-9]+E\+[0-9]+", re.IGNORECASE)
EXACT = 10**15  # from here on a spreadsheet's numbers have lost digits
WENT_WRONG = re.compile(r"#(N/A|NV|REF!|BEZUG!|VALUE!|WERT!|NAME\?|DIV/0!|NUM!|ZAHL!|NULL!)")  # formulas' results
GERMAN_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
YES_AND_NO = {"ja": True, "wahr": True, "nein": False, "falsch": False}

Cell = str | int | bool | None
Columns = list["models.Field[Any, Any] | None"]  # None: left out


def csv_rows(source: Source, model: type[Entity], names: Mapping[str, str], *, raw: bool = False) -> Iterator[FileRow]:
    """A row per record, at the line where it begins; `names` are those of fields by those of columns in the header."""
    rows = records(source)
    _, header = next(rows, (1, list[str]()))
    columns = _columns(model, header, names)
    for line, cells in rows:
        if len(cells) == len(columns):
            pairs = zip(columns, cells, strict=True)
            item = {field.attname: read_cell(cell, field, raw=raw) for field, cell in pairs if cell and field}
            yield FileRow(line, orjson.dumps(item))
        elif cells:
            yield FileRow(line, orjson.dumps(cells), Fault((), another_width(columns, cells), "csv_width"))


def another_width(columns: Sequence[Any], cells: Sequence[Any]) -> str:
    return f"The header has {len(columns)} columns, this row {len(cells)}"


def records(source: Source, *, has_title: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The records, each with the line where it begins as an editor counts them; first the header, or maybe a title."""
    csv.field_size_limit(MAX_ROW)
    length = 0  # of the record so far, in bytes

    def lines() -> Iterator[str]:
        nonlocal length
        for number, line in enumerate(source.lines(), start=1):
            length += len(line)
            if length > MAX_ROW:
                raise BadFile(f"the row that ends here is longer than {MAX_ROW // 2**20} MiB", number)
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                wrong = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
                raise BadFile(f"this is not UTF-8 ({wrong}); save the file as UTF-8", number) from error

    def spread(delimiter: str) -> tuple[int, int]:
        """Over how many of the first lines, and over how many cells. A title above the header is a single one."""
        start = source.start.decode(errors="replace").splitlines()[: None if has_title else 1]
        counts = [len(cells) for cells in csv.reader(start, delimiter=delimiter) if len(cells) > 1]
        return len(counts), max(counts, default=0)

    reader = csv.reader(lines(), delimiter=max(DELIMITERS, key=spread), strict=True)
    begins = 1
    try:
        for cells in reader:
            yield begins, cells
            begins, length = reader.line_num + 1, 0
    except csv.Error as error:
        raise BadFile(f"the row that begins here is no CSV: {error}", begins) from error


def _columns(model: type[Entity], header: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    names = [name.strip() for name in header]
    if not any(names):
        raise BadFile("there is no header row with the names of the columns", 1)
    if missing := sorted(mapping.keys() - set(names)):
        raise BadFile(f"--map names {shown(missing[0])}, and the header has no such column", 1)
    fields = {field.attname: field for field in model.settable_fields()}
    taken: dict[str, str] = {}
    columns: Columns = []
    for name in names:
        target = mapping.get(name, name)
        if not target or target in READ_ONLY:
            columns.append(None)
            continue
        if target not in fields:
            known = ", ".join(sorted(fields))
            raise BadFile(f"the column {shown(name)} is no field of {model.plural} (use --map); fields: {known}", 1)
        if target in taken:
            raise BadFile(f"the columns {shown(taken[target])} and {shown(name)} are both {target}", 1)
        taken[target] = name
        columns.append(fields[target])
    return columns


def read_cell(cell: str, field: "models.Field[Any, Any]", *, raw: bool = False) -> Cell:
    """What a cell says: a value of its field; what is no such value goes on as text, to be judged."""
    if cell == NULL:
        return None
    if cell == EMPTY:
        return ""
    if ESCAPED.fullmatch(cell):
        return cell[1:]
    text = cell if raw else unescaped(cell)
    if isinstance(field, models.IntegerField) and WHOLE.fullmatch(text):
        return int(text)
    return BOOLEANS.get(text.lower(), text) if isinstance(field, models.BooleanField) else text


def cell_of(value: Any, *, raw: bool = False) -> str | int:
    """The cell that `csv_rows` reads as `value`, a value as the database has it."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    if isinstance(value, datetime | bytes | memoryview):
        value = orjson.loads(to_json(value))
    text = str(value) if raw else escaped(str(value))
    return (f"\\{text}" if ESCAPED.fullmatch(text) else text) or EMPTY


# --- Tables of people -------------------------------------------------------------------------------


def plain(name: str) -> str:
    """The name without what people write in different ways: "Outer_length [mm]" is "outerlength"."""
    return "".join(filter(str.isalnum, IN_BRACKETS.sub("", name).casefold()))


def fields_of(model: type[Entity]) -> "dict[str, models.Field[Any, Any]]":
    """What a column may be, by name; a file's rows are of the company that it is uploaded to."""
    return {field.attname: field for field in model.settable_fields() if field.attname != "company_guid"}


def guess(model: type[Entity], columns: Sequence[str]) -> dict[str, str]:
    """The field of each column that is known by its name; of two columns for one field the first."""
    names: dict[str, str] = {}
    for field in fields_of(model):
        for name in (field, *ALSO_CALLED.get(field, ())):
            names.setdefault(plain(name), field)
    mapping: dict[str, str] = {}
    for column in columns:
        known = names.get(plain(column))
        if known and known not in mapping.values():
            mapping[column] = known
    return mapping


def problems(model: type[Entity], mapping: Mapping[str, str]) -> list[str]:
    """What keeps a file with these columns from being imported, for a person."""
    found = [
        f"No column is “{in_words(name)}”, which every row needs."
        for name, field in fields_of(model).items()
        if not (field.null or field.has_default() or name in mapping.values())
    ]
    chosen = list(mapping.values())
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    return found + [f"Two columns are “{in_words(name)}”: leave one out." for name in twice]


def in_words(name: str) -> str:
    return name.replace("_", " ").capitalize()


class Unusable(Exception):
    """A cell that a sync would take for something else than is meant; the message says why, to a person."""


def value_of(cell: Any, field: "models.Field[Any, Any]") -> Any:
    """What a cell of a table says, as an item of a sync has it, which will say what is wrong with it. Raises Unusable
    for what only a spreadsheet can have done to it."""
    is_text = isinstance(field, models.CharField)
    if isinstance(cell, dict):
        if "error" in cell:
            raise Unusable(f"There is {cell['error']} in the cell: save the file once more in a spreadsheet program")
        if not isinstance(field, models.DateTimeField):
            raise Unusable("The spreadsheet has made a date of it: format the column as text, and type it again")
        return cell["date"]
    if is_text and isinstance(cell, int | float) and not isinstance(cell, bool):
        if abs(cell) >= EXACT:
            raise Unusable("A number of more than 15 digits has lost some: format the column as text")
        return str(cell)
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if WENT_WRONG.fullmatch(text):
        raise Unusable(f"The cell shows {text}: a formula has gone wrong")
    if is_text and SHORTENED.fullmatch(text):
        raise Unusable("The spreadsheet has shortened the number: format the column as text, and type it again")
    if isinstance(field, models.IntegerField):
        if THOUSANDS.fullmatch(text):
            raise Unusable("Thousands or decimals? Write it without a point or comma")
        if found := DECIMAL_COMMA.fullmatch(text):
            text = found[1]
    if isinstance(field, models.DateTimeField) and (found := GERMAN_DATE.fullmatch(text)):
        return "{2}-{1:0>2}-{0:0>2}".format(*found.groups())
    if isinstance(field, models.BooleanField) and text.lower() in YES_AND_NO:
        return YES_AND_NO[text.lower()]
    return read_cell(text, field)
