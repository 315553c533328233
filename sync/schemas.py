"""From a request's bytes to lines, and from lines to checked items: plain dicts of the fields that were sent, with
Python values, or faults with their `loc` (contract, "Fields" and "Conventions"). A msgspec decoder takes what is
plainly right; all the rest goes to a pydantic-core validator, which decides. Both are derived from the models."""

import base64
import binascii
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import Annotated, Any, NamedTuple

import msgspec
from django.db import models
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, ValidationError, from_json
from pydantic_core import core_schema as cs
from rest_framework.exceptions import ParseError

from pieces.models import READ_ONLY, Entity, Kind
from pieces.reading import counted
from ractory.api.errors import MAX_LISTED, Fault, echoed, shown
from ractory.api.query import in_utc

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
NUMERIC = re.compile(r"\s*[+-]?[0-9]{1,40}(\.0*)?\s*")
NUMBER = re.compile(r"\s*[+-]?[0-9.]+\s*")
MAX_WRITTEN = 64  # characters of a number or a moment; a longer text is none, whatever is in it
CANONICAL = re.compile("[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
ESCAPED_NUL = b"\\u0000"
MAX_PLAIN = 256 * 1024  # bytes of a line that the decoder is tried on; longer ones are so by their pictures
MAX_NAMES = 100  # of unknown fields that are told and kept
IF_UPDATED_AT = "if_updated_at"  # what an item may say of the row that it means, beside its fields
Item = dict[str, Any]


class Line(NamedTuple):
    """One item as it came in: where it stands (its index in a body, 0 in a form), and its JSON."""

    place: int
    raw: bytes


@dataclass(slots=True)
class Batch:
    """What lines say: an item each, and what is wrong or unknown, of which the first is kept, cut, whatever is sent."""

    faults: list[Fault]  # in the order of the lines; the first ones, and the first of each kind
    most: int | None  # faults that are kept; None: all
    strict: bool  # unknown names are faults too
    names: set[str] = field(default_factory=set)  # that nobody knows
    items: list[Item | None] = field(default_factory=list)  # None for a line that is at fault
    kinds: Counter[tuple[str, str]] = field(init=False)  # of all faults; beyond a hundred kinds, all others as one

    def __post_init__(self) -> None:
        self.kinds = Counter(fault.kind for fault in self.faults)

    @property
    def fault_count(self) -> int:
        return self.kinds.total()

    @property
    def ignored(self) -> list[str]:
        return sorted(self.names)

    def add(self, loc: tuple[str | int, ...], code: str, msg: str, *value: object) -> None:
        kind = Fault(loc, msg, code).kind
        is_new = kind not in self.kinds and len(self.kinds) < MAX_LISTED
        self.kinds[kind if is_new or kind in self.kinds else ("", "others")] += 1
        if is_new or self.most is None or len(self.faults) < self.most:
            self.faults.append(Fault(loc, f"{msg}, got {shown(value[0])}" if value else msg, code))

    def add_unknown(self, loc: tuple[str | int, ...], names: Iterable[str]) -> None:
        for name in map(echoed, sorted(names)):
            if len(self.names) < MAX_NAMES:
                self.names.add(name)
            if self.strict:
                self.add((*loc, name), "extra_forbidden", f"Unknown field {shown(name)}")


def max_items(model: type[Entity]) -> int:
    return 1000 if model.kind is Kind.PIECE else 5000


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: its lines, and what is around them."""

    lines: list[Line]
    faults: list[Fault]  # for a list of lines that is none
    names: list[str]  # other than that of the list


def split(model: type[Entity], raw: bytes) -> Body:
    """Takes a body `{"<plural>": [item, …]}` apart, of which all is JSON then. Raises 400 if not, or over the limit."""
    try:
        raw.decode()  # msgspec looks for errors in all that it passes over, but not for those of UTF-8
        try:
            members = {model.plural: getattr(_splitter(model).decode(raw), model.plural)}
        except msgspec.DecodeError:  # not JSON, or something else is in it too
            members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            for name, value in members.items():
                is_list = name == model.plural and bytes(value)[:1] == b"["
                members[name] = msgspec.json.decode(value, type=list[msgspec.Raw]) if is_list else _read(bytes(value))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ParseError):
        _read(raw)  # which names the place, if it is no JSON
        raise ParseError(f'The body must be a JSON object with the key "{model.plural}".') from None
    names = [name for name in members if name != model.plural]
    if model.plural not in members:
        return Body([], [Fault(("body", model.plural), "Field required", "missing")], names)
    items = members[model.plural]
    if not isinstance(items, list):
        msg = f"Input should be a valid array, got {shown(items)}"
        return Body([], [Fault(("body", model.plural), msg, "list_type")], names)
    if len(items) > max_items(model):
        raise ParseError(f"Maximum batch size is {max_items(model)} {model.plural}")
    return Body([Line(index, bytes(item)) for index, item in enumerate(items)], [], names)


def _read(raw: bytes) -> Any:
    try:
        return from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise ParseError(f"The body is not JSON: {error}.") from None


@cache
def _splitter(model: type[Entity]) -> "msgspec.json.Decoder[Any]":
    body = msgspec.defstruct("Body", [(model.plural, list[msgspec.Raw])], forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)


def parse(
    model: type[Entity],
    lines: Iterable[Line],
    *,
    strict: bool = False,
    faults: Sequence[Fault] = (),
    names: Sequence[str] = (),
    leave_out: bool = False,
) -> Batch:
    """The items of the lines, with every fault of theirs after those that are given; of a request the first 100.
    `names` are unknown ones beside the lines; with `strict` these, and unknown fields of items, are faults too. A line
    that is no JSON is a fault if it may be left out, else a ParseError."""
    batch = Batch(list(faults), None if leave_out else MAX_LISTED, strict)
    batch.add_unknown(("body",), names)
    for line in lines:
        item = _decoded(model, line.raw)
        batch.items.append(_judged(model, line, batch) if item is None else item)
    return batch


def _decoded(model: type[Entity], raw: bytes) -> Item | None:
    """The item of a line in which nothing is wrong, unknown or out of the ordinary; None for any other. msgspec decodes
    and checks such a line five times as fast as pydantic, but tells no more than its first fault."""
    if len(raw) > MAX_PLAIN or ESCAPED_NUL in raw:
        return None
    try:
        decoded = _decoder(model).decode(raw)
        item: Item = msgspec.to_builtins(decoded, builtin_types=(uuid.UUID,))  # without what is UNSET
        for name in _relations(model):
            if (text := item.get(name)) is not None:
                item[name] = uuid_of(text)
    except (ValueError, RecursionError):
        return None
    return item


def _judged(model: type[Entity], line: Line, batch: Batch) -> Item | None:
    """The item of any other line, by pydantic; None if it has faults, which are added."""
    loc, before = ("body", model.plural, line.place), batch.fault_count
    try:
        sent = from_json(line.raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        if batch.most is not None:
            raise ParseError(f"The body is not JSON: item {line.place}: {error}.") from None
        batch.add(loc, "json_invalid", f"This is not JSON: {error}")
        return None
    item, wrong = None, set()
    try:
        item = _validator(model).validate_python(sent)
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_context=False):
            if "strict" in entry["loc"]:  # a whole number may be one in two ways: the other one's fault says more
                continue
            wrong.add(entry["loc"][:1])
            place, code = (*loc, *entry["loc"][:1]), entry["type"]
            if code == "missing":
                batch.add(place, code, "Field required")
            else:
                msg = "Input should be an object" if code == "dict_type" else entry["msg"]
                batch.add(place, code, msg, entry["input"])
    if isinstance(sent, dict):
        if ESCAPED_NUL in line.raw:  # PostgreSQL can't store U+0000
            for name in sent.keys() & (_accepted(model) - read_only(model)):
                if isinstance(sent[name], str) and "\0" in sent[name] and (name,) not in wrong:
                    batch.add((*loc, name), "string_nul", "String must not contain NUL", sent[name])
        if not sent.keys() <= _accepted(model):
            batch.add_unknown(loc, sent.keys() - _accepted(model))
    return item if batch.fault_count == before else None


@lru_cache(2**14)
def uuid_of(text: str) -> uuid.UUID:
    """The UUID of a canonical text; the same object each time, as far as it is remembered, so that comparing is cheap:
    many items share their relations. Raises ValueError for a text of another form."""
    if not CANONICAL.fullmatch(text):  # uuid.UUID takes underscores, and dashes anywhere
        raise ValueError(text)
    return uuid.UUID(text)


@cache
def _decoder(model: type[Entity]) -> "msgspec.json.Decoder[Any]":
    """Knows the fields of the plain types only, in their strictest form; what else is sent goes the longer way."""
    fields: list[Any] = []
    for column in model.settable_fields():
        plain, _ = _forms(column)
        if plain and (column.null or column.has_default()):
            fields.append((column.attname, plain | None | msgspec.UnsetType, msgspec.UNSET))
        elif plain:
            fields.append((column.attname, plain))
    item = msgspec.defstruct("Item", fields, forbid_unknown_fields=True, kw_only=True, gc=False)
    return msgspec.json.Decoder(item)


@cache
def read_only(model: type[Entity]) -> frozenset[str]:
    """What full objects have and an item may not set: it is ignored, so that what was read may be sent back."""
    return READ_ONLY | counted(model).keys()


@cache
def _accepted(model: type[Entity]) -> frozenset[str]:
    return read_only(model).union([IF_UPDATED_AT], (column.attname for column in model.settable_fields()))


@cache
def _relations(model: type[Entity]) -> tuple[str, ...]:
    return ("company_guid", *model.parent_columns())


@cache
def _validator(model: type[Entity]) -> SchemaValidator:
    """Required is what the database needs and the model has no default for; guid and is_active may be null."""
    columns = {column.attname: column for column in model.settable_fields()}
    fields = {}
    for name, column in (columns | {IF_UPDATED_AT: models.DateTimeField(null=True)}).items():
        required = not (column.null or column.has_default())
        _, value = _forms(column)
        fields[name] = cs.typed_dict_field(value if required else cs.nullable_schema(value), required=required)
    return SchemaValidator(cs.typed_dict_schema(fields))


def _forms(column: "models.Field[Any, Any]") -> tuple[Any, CoreSchema]:
    """A value in its plain form as msgspec's type, None if it has none, and in all its forms as pydantic's."""
    match column:
        case models.ForeignKey():
            return str, cs.uuid_schema()  # see uuid_of
        case models.UUIDField():
            return uuid.UUID, cs.uuid_schema()
        case models.CharField(max_length=most):
            return Annotated[str, msgspec.Meta(max_length=most)], cs.str_schema(max_length=most)
        case models.BooleanField():
            return bool, cs.bool_schema()
        case models.IntegerField():
            # An int goes straight through; only what is none costs a call.
            exact = cs.int_schema(strict=True, ge=INT_MIN, le=INT_MAX)
            lenient = cs.no_info_plain_validator_function(_integer)
            both = cs.union_schema([(exact, "strict"), (lenient, "lenient")], mode="left_to_right")
            return Annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)], both
        case models.DateTimeField():
            number = cs.no_info_plain_validator_function(_no_number)
            iso = cs.chain_schema([cs.str_schema(), number, cs.datetime_schema()])
            return None, cs.no_info_after_validator_function(_utc, iso)
        case models.BinaryField(max_length=int(most)):
            text = cs.str_schema(max_length=(most + 2) // 3 * 4)
            return None, cs.no_info_after_validator_function(partial(_picture, limit=most), text)
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
        return in_utc(value)
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
