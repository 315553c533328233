"""CSV, in and out: a header row of wire names. A cell is `\\N` for null and `\\E` for the empty string; an empty cell
says nothing, so that the field keeps its value. A text that is itself `\\N` or `\\E` has one backslash more in front;
so has, unless the file is raw, what a spreadsheet would run as a formula (pieces.formulas)."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
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

Cell = str | int | bool | None
Columns = list[tuple[str, Callable[[str], Cell] | None] | None]  # a field, and what reads its cells; None: left out


def csv_rows(source: Source, model: type[Entity], names: Mapping[str, str], *, raw: bool = False) -> Iterator[FileRow]:
    """A row per record, at the line where it begins; `names` are those of fields by those of columns in the header."""
    rows = records(source)
    _, header = next(rows, (1, list[str]()))
    columns = _columns(model, header, names)
    for line, cells in rows:
        if len(cells) == len(columns):
            pairs = zip(columns, cells, strict=True)
            item = {column[0]: read_cell(cell, column[1], raw=raw) for column, cell in pairs if cell and column}
            yield FileRow(line, orjson.dumps(item))
        elif cells:
            msg = f"The header has {len(columns)} columns, this row {len(cells)}"
            yield FileRow(line, orjson.dumps(cells), Fault((), msg, "csv_width"))


def records(source: Source) -> Iterator[tuple[int, list[str]]]:
    """The records, the header first, each with the line where it begins as an editor counts them."""
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
        start = source.start.decode(errors="replace").splitlines()
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
        columns.append((target, reader_of(fields[target])))
    return columns


def reader_of(field: "models.Field[Any, Any]") -> Callable[[str], Cell] | None:
    """What makes of a cell what the quick decoder takes; what is no such value goes on as text, to be judged."""
    if isinstance(field, models.IntegerField):
        return lambda cell: int(cell) if WHOLE.fullmatch(cell) else cell
    if isinstance(field, models.BooleanField):
        return lambda cell: BOOLEANS.get(cell.lower(), cell)
    return None


def read_cell(cell: str, read: Callable[[str], Cell] | None = None, *, raw: bool = False) -> Cell:
    """What a cell says: a value of its field as `read` has it, or a text."""
    if cell == NULL:
        return None
    if cell == EMPTY:
        return ""
    if ESCAPED.fullmatch(cell):
        return cell[1:]
    if not raw:
        cell = unescaped(cell)
    return read(cell) if read else cell


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
