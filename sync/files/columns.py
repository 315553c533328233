"""Which column of a file is which field, guessed by their names; and what a cell says that a person has typed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from django.db import models

from pieces.models import Entity
from sync.files.tables import read_cell, reader_of

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
    return read_cell(text, reader_of(field))
