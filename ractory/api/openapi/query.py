"""The parameters of a query string, as ractory.api.query and ractory.api.paging take them, in OpenAPI."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from django import forms

from ractory.api.openapi.operations import Json
from ractory.api.paging import DEFAULT_LIMIT, MAX_KEYS, Fields, Ordering
from ractory.api.query import Flag, Guid, Moment, Text, Whole

NO_NUL = r"^[^\u0000]*$"
# Years are 1 to 9999, in UTC too, so the first and the last day depend on the offset.
IN_RANGE = "^(?!0000|0001-01-01|9999-12-31)"
MOMENTS: list[Json] = [
    {"type": "string", "format": "date-time", "pattern": IN_RANGE, "maxLength": 50},
    {"type": "string", "format": "date", "pattern": IN_RANGE},
]

# The same parameter means the same everywhere.
MEANINGS = {
    "company_guid": "Only this company's rows. For a SystemAdmin; anyone else may name their own.",
    "include_inactive": "Soft-deleted rows, too.",
    "detail": "Full objects instead of short ones.",
    "fields": "These fields of each object and no others, each once; `detail` says nothing then.",
    "count": "Adds the header `X-Total-Count`.",
    "limit": f"How many rows at most; {DEFAULT_LIMIT} by default.",
    "offset": "How many rows to leave out. To page through a list, rather follow `Link`.",
    "cursor": "Where a page begins: comes with the address in `Link`, and is of no use elsewhere.",
    "ordering": f"Up to {MAX_KEYS} fields, each once, with `-` for descending; nulls come last.",
    "updated_since": "Only rows changed at or after this moment; UTC unless it says otherwise.",
    "since": "Only those that began at or after this moment; UTC unless it says otherwise.",
    "search": "Only rows with this text in one of their main fields, in upper or lower case.",
}


def query_parameters(fields: Mapping[str, forms.Field]) -> list[Json]:
    """The parameters that a form with these fields takes, by name."""
    return [query_parameter(name, field) for name, field in sorted(fields.items())]


def query_parameter(name: str, field: forms.Field, description: str = "") -> Json:
    said = description or MEANINGS.get(name, f"Only rows with this `{name}`.")
    style = {"style": "form", "explode": False} if isinstance(field, Ordering | Fields) else {}
    return {"name": name, "in": "query", "description": said, "schema": schema_of(field), **style}


@singledispatch
def schema_of(field: forms.Field) -> Json:
    """The JSON Schema of the values that the field takes."""
    raise TypeError(f"{type(field).__name__} has no form in OpenAPI")


@schema_of.register
def _flag(field: Flag) -> Json:
    return {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["1", "0"]}]}


@schema_of.register
def _text(field: Text) -> Json:
    if choices := getattr(field, "choices", None):
        return {"type": "string", "enum": list(choices)}
    schema: dict[str, Any] = {"type": "string", "pattern": NO_NUL}
    return schema if field.max_length is None else schema | {"maxLength": field.max_length}


@schema_of.register
def _whole(field: Whole) -> Json:
    return {"type": "integer", "minimum": field.least, "maximum": field.most}


@schema_of.register
def _guid(field: Guid) -> Json:
    return {"type": "string", "format": "uuid"}


@schema_of.register
def _moment(field: Moment) -> Json:
    return {"anyOf": MOMENTS}


@schema_of.register
def _ordering(field: Ordering) -> Json:
    names = [sign + name for name in field.sortable for sign in ("", "-")]
    items = {"type": "string", "enum": names}
    return {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_KEYS, "uniqueItems": True}


@schema_of.register
def _fields(field: Fields) -> Json:
    return {"type": "array", "items": {"type": "string", "enum": list(field.names)}, "minItems": 1, "uniqueItems": True}
