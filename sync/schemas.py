"""Checking a batch's raw bytes, by a msgspec decoder and a pydantic-core validator that are derived from the models.

What comes out are plain dicts that hold just the fields that were sent, with Python values; what is wrong comes
out as faults with their `loc` (contract, "Fields" and "Conventions"). No DRF serializer, no model instance. The
decoder takes what is plainly right; all the rest goes to the validator, which decides.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any

import msgspec
from django.db import models
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, ValidationError, from_json
from pydantic_core import core_schema as cs
from rest_framework.exceptions import ParseError

from pieces.models import READ_ONLY, Entity, Kind
from pieces.reading import counted
from ractory.api.errors import MAX_LISTED, Fault, Unprocessable, echoed, shown

MAX_ITEMS = {Kind.PIECE: 1000}
MAX_ITEMS_OTHERS = 5000
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
NUMERIC = re.compile(r"\s*[+-]?[0-9]{1,40}(\.0*)?\s*")
NUMBER = re.compile(r"\s*[+-]?[0-9.]+\s*")
MAX_WRITTEN = 64  # characters of a number or a moment; a longer text is none, whatever is in it
CANONICAL = re.compile("[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
ESCAPED_NUL = b"\\u0000"
MAX_PLAIN = 8 * 1024 * 1024  # bytes of a body that the decoder is tried on; larger ones are so by their pictures
MAX_NAMES = 100  # of unknown fields that are told and kept
IN_JSON = {"list_type": "Input should be a valid array", "dict_type": "Input should be an object"}  # pydantic's words

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """A body: its items, the fields that nobody knows, sorted, and what is wrong; with faults, items have gaps."""

    items: list[Item]
    ignored: list[str]
    faults: list[Fault]  # the first of them, in the order of the items
    fault_count: int

    @property
    def is_valid(self) -> bool:
        return self.fault_count == 0

    def checked(self) -> list[Item]:
        """The items. Raises 422 if the batch is not valid."""
        if not self.is_valid:
            raise Unprocessable(self.faults, self.fault_count)
        return self.items


def max_items(model: type[Entity]) -> int:
    return MAX_ITEMS.get(model.kind, MAX_ITEMS_OTHERS)


def parse(model: type[Entity], raw: bytes, *, strict: bool, faults: Sequence[Fault] = ()) -> Batch:
    """The batch in `raw`, a body of `{"<plural>": [item, …]}`, with every fault after those that are given.

    With `strict`, unknown fields are faults too. Raises 400 when it is not JSON, no object, or over the limit.
    """
    plain = _decoded(model, raw)
    if plain is not None:
        return Batch(plain, [], list(faults), len(faults))
    body = _json(model, raw)
    unknown = _find_unknown(model, body)
    errors: list[Any] = []
    try:
        body = _validator(model).validate_python(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        errors = [entry for entry in errors if "strict" not in entry["loc"]]
        body = _validator(model, forgiving=True).validate_python(body)
    items: list[Item] = body.get(model.plural) or []
    found = [*faults, *(_fault(entry) for entry in errors[:MAX_LISTED])]
    total = len(faults) + len(errors)
    if ESCAPED_NUL in raw:
        nul = _nul_faults(model, items)
        found, total = found + nul[:MAX_LISTED], total + len(nul)
    if strict:
        found, total = found + unknown.faults(), total + unknown.count
    return Batch(items, sorted(unknown.names), sorted(found, key=_position), total)


def _json(model: type[Entity], raw: bytes) -> Item:
    """The body, read once: what is made of it shares its values. Raises what `parse` raises."""
    try:
        body = from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise ParseError(f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise ParseError(f'The body must be a JSON object with the key "{model.plural}".')
    items = body.get(model.plural)
    if isinstance(items, list) and len(items) > max_items(model):
        raise ParseError(f"Maximum batch size is {max_items(model)} {model.plural}")
    return body


def _decoded(model: type[Entity], raw: bytes) -> list[Item] | None:
    """The items of a body in which nothing is wrong, unknown or out of the ordinary; None for any other.

    msgspec decodes and checks such a body five times as fast as pydantic, but tells no more than its first fault.
    """
    # The decoder's refusal repeats an unknown name, whatever its length.
    if len(raw) > MAX_PLAIN or ESCAPED_NUL in raw:
        return None
    try:
        decoded = getattr(_decoder(model).decode(raw), model.plural)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if len(decoded) > max_items(model):
        return None
    items: list[Item] = msgspec.to_builtins(decoded, builtin_types=(uuid.UUID,))  # without what is UNSET
    relations = ("company_guid", *model.parent_columns())
    try:
        for item in items:
            for name in relations:
                text = item.get(name)
                if text is not None:
                    item[name] = uuid_of(text)
    except ValueError:
        return None
    return items


@lru_cache(2**14)
def uuid_of(text: str) -> uuid.UUID:
    """The UUID of a canonical text; the same object each time, as far as it is remembered, so that comparing is cheap.

    Many items share their relations. Raises ValueError for a text of another form.
    """
    if not CANONICAL.fullmatch(text):  # uuid.UUID takes underscores, and dashes anywhere
        raise ValueError(text)
    return uuid.UUID(text)


@cache
def _decoder(model: type[Entity]) -> "msgspec.json.Decoder[Any]":
    """Knows the fields of the plain types only, in their strictest form; what else is sent goes the longer way."""
    fields: list[Any] = []
    for column in model.settable_fields():
        plain = _plain_type(column)
        if plain is None:
            continue
        if not (column.null or column.has_default()):
            fields.append((column.attname, plain))
        else:
            fields.append((column.attname, plain | None | msgspec.UnsetType, msgspec.UNSET))
    item = msgspec.defstruct("Item", fields, forbid_unknown_fields=True, kw_only=True, gc=False)
    body = msgspec.defstruct("Body", [(model.plural, list[item])], forbid_unknown_fields=True)  # type: ignore[valid-type]  # a type made at run time
    return msgspec.json.Decoder(body)


def _plain_type(column: "models.Field[Any, Any]") -> Any:
    if isinstance(column, models.ForeignKey):
        return str  # see uuid_of
    if isinstance(column, models.UUIDField):
        return uuid.UUID
    if isinstance(column, models.CharField):
        return Annotated[str, msgspec.Meta(max_length=column.max_length)]
    if isinstance(column, models.BooleanField):
        return bool
    if isinstance(column, models.IntegerField):
        return Annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)]
    return None


def _position(fault: Fault) -> int:
    """Faults are told in the order of the items; those of the whole body or of the query first."""
    index = fault.loc[2] if len(fault.loc) > 2 else -1
    return index if isinstance(index, int) else -1


def _fault(entry: Any) -> Fault:
    loc = ("body", *entry["loc"][:3])
    if entry["type"] == "missing":
        return Fault(loc, "Field required", "missing")
    msg = IN_JSON.get(entry["type"], entry["msg"])
    return Fault(loc, f"{msg}, got {shown(entry['input'])}", entry["type"])


def _nul_faults(model: type[Entity], items: list[Item]) -> list[Fault]:
    """Strings with U+0000, which PostgreSQL can't store. Rare enough to look for only when the bytes have one."""
    return [
        Fault(("body", model.plural, index, name), f"String must not contain NUL, got {shown(value)}", "string_nul")
        for index, item in enumerate(items)
        for name, value in item.items()
        if isinstance(value, str) and "\0" in value
    ]


@dataclass(slots=True)
class _Unknown:
    """The unknown fields of a body: how many, and the first names and places, cut, whatever a client sends."""

    count: int = 0
    names: set[str] = field(default_factory=set)
    places: list[tuple[str | int, ...]] = field(default_factory=list)

    def add(self, *above: str | int, name: str) -> None:
        self.count += 1
        if len(self.names) < MAX_NAMES:
            self.names.add(echoed(name))
        if len(self.places) < MAX_LISTED:
            self.places.append((*above, echoed(name)))

    def faults(self) -> list[Fault]:
        return [Fault(("body", *loc), f"Unknown field {shown(loc[-1])}", "extra_forbidden") for loc in self.places]


def _find_unknown(model: type[Entity], body: Item) -> _Unknown:
    """The unknown fields beside the list and in the items; the validator leaves them out, and read-only ones too."""
    unknown = _Unknown()
    for name in sorted(body.keys() - {model.plural}):
        unknown.add(name=name)
    items = body.get(model.plural)
    accepted = _known(model) | read_only(model)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and not item.keys() <= accepted:
            for name in sorted(item.keys() - accepted):
                unknown.add(model.plural, index, name=name)
    return unknown


@cache
def read_only(model: type[Entity]) -> frozenset[str]:
    """What full objects have and an item may not set: it is ignored, so that what was read may be sent back."""
    return READ_ONLY | counted(model).keys()


@cache
def _known(model: type[Entity]) -> frozenset[str]:
    return frozenset(column.attname for column in model.settable_fields())


@cache
def _validator(model: type[Entity], *, forgiving: bool = False) -> SchemaValidator:
    """A validator of bodies; a `forgiving` one takes what is wrong as null, to see the rest of a faulty body."""
    item: CoreSchema = cs.typed_dict_schema(
        {column.attname: _field(column, forgiving=forgiving) for column in model.settable_fields()}
    )
    if forgiving:
        item = cs.with_default_schema(item, default_factory=dict, on_error="default")
    fields = {model.plural: cs.typed_dict_field(_forgive(cs.list_schema(item), forgiving), required=not forgiving)}
    return SchemaValidator(cs.typed_dict_schema(fields))


def _forgive(schema: CoreSchema, forgiving: bool) -> CoreSchema:
    return cs.with_default_schema(schema, default=None, on_error="default") if forgiving else schema


def _field(column: "models.Field[Any, Any]", *, forgiving: bool) -> cs.TypedDictField:
    """Required is what the database needs and the model has no default for; guid and is_active may be null."""
    required = not (column.null or column.has_default() or forgiving)
    value = _value(column)
    return cs.typed_dict_field(value if required else _forgive(cs.nullable_schema(value), forgiving), required=required)


def _value(column: "models.Field[Any, Any]") -> CoreSchema:
    if isinstance(column, models.ForeignKey | models.UUIDField):
        return cs.uuid_schema()
    if isinstance(column, models.CharField):
        return cs.str_schema(max_length=column.max_length)
    if isinstance(column, models.BooleanField):
        return cs.bool_schema()
    if isinstance(column, models.IntegerField):
        # An int goes straight through; only what is none costs a call.
        exact = cs.int_schema(strict=True, ge=INT_MIN, le=INT_MAX)
        lenient = cs.no_info_plain_validator_function(_integer)
        return cs.union_schema([(exact, "strict"), (lenient, "lenient")], mode="left_to_right")
    if isinstance(column, models.DateTimeField):
        iso = cs.chain_schema([cs.str_schema(), cs.no_info_plain_validator_function(_no_number), cs.datetime_schema()])
        return cs.no_info_after_validator_function(_utc, iso)
    if isinstance(column, models.BinaryField):
        limit = column.max_length or 0
        longest = (limit + 2) // 3 * 4
        return cs.no_info_after_validator_function(
            lambda text: _picture(text, limit), cs.str_schema(max_length=longest)
        )
    raise TypeError(f"{type(column).__name__} has no form in a sync")


def _integer(value: Any) -> int:
    """A whole float or a numeric string, as an int."""
    if isinstance(value, str) and len(value) <= MAX_WRITTEN and NUMERIC.fullmatch(value):
        value = int(value.partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a whole number")
    if not INT_MIN <= value <= INT_MAX:
        raise PydanticCustomError("int_range", "Input should fit 32 bits (-2147483648 to 2147483647)")
    return value


def _no_number(text: str) -> str:
    """pydantic would take "20260501" for seconds since 1970."""
    if len(text) > MAX_WRITTEN or NUMBER.fullmatch(text):
        raise PydanticCustomError("datetime_parsing", "Input should be a date and time in ISO 8601")
    return text


def _utc(value: datetime) -> datetime:
    """In UTC; a time without an offset is taken as UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("datetime_range", "Input should be between the years 1 and 9999 in UTC") from None


def _picture(text: str, limit: int) -> bytes:
    try:
        picture = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("base64", "Input should be base64") from None
    if len(picture) > limit:
        raise PydanticCustomError("bytes_too_long", f"Picture should have at most {limit} bytes")
    return picture
