"""Lists in pages: an order that is total, where to begin, and the link to the next page. It carries a cursor, the last
row's values in that order: whatever others write meanwhile, no row comes twice and none that stays is missed."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import orjson
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, OrderBy, Q
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan

from ractory.api.errors import shown
from ractory.api.query import Flag, Parameter, Query, Text, Whole, in_utc

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_PAGE_BYTES = 8 * 1024 * 1024  # of JSON
MAX_KEYS = 4  # of an ordering: a cursor holds a value of each, and must fit into an address


@dataclass(frozen=True, slots=True)
class Key:
    """One field of an order. Nulls come last, whatever the direction."""

    name: str
    field: "models.Field[Any, Any]"
    descending: bool = False

    def __str__(self) -> str:
        return f"-{self.name}" if self.descending else self.name

    def expression(self) -> OrderBy:
        nulls_last = True if self.field.null else None  # None leaves the clause out, for the sake of indexes
        return OrderBy(F(self.name), descending=self.descending, nulls_last=nulls_last)

    def parse(self, value: Any) -> Any:
        """A cursor's value as the database takes it. Raises what Python or Django raise for a bad one."""
        if value is None and self.field.null:
            return None
        if not isinstance(self.field, models.IntegerField | models.BooleanField) and not isinstance(value, str):
            raise TypeError(f"no text for {self.name}")
        parsed = self.field.to_python(value)
        if parsed is None or (isinstance(parsed, str) and "\0" in parsed):
            raise ValueError(f"no value of {self.name}")
        self.field.run_validators(parsed)
        return in_utc(parsed) if isinstance(parsed, datetime) else parsed


@dataclass(frozen=True, slots=True)
class Page:
    keys: tuple[Key, ...]  # the last one is unique and never null
    limit: int
    offset: int
    count: bool
    after: tuple[Any, ...] | None  # the values of `keys` in the row before the page

    def of(self, rows: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
        """These rows in order, from where the page begins; one more than `limit`, to see whether there are more."""
        if self.after is not None:
            rows = rows.filter(_after(self.keys, self.after))
        return self.ordered(rows)[self.offset : self.offset + self.limit + 1]

    def ordered(self, rows: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
        return rows.order_by(*(key.expression() for key in self.keys))

    def headers(self, request: Any, last: Sequence[Any] | None, rows: Any = None) -> dict[str, str]:
        """Those of the answer: `X-Total-Count` of `rows` if asked for; if there are rows after the one with the values
        `last` of `keys`, the `Link` to them (RFC 8288)."""
        headers = {"X-Total-Count": str(rows.count())} if self.count else {}
        if last is not None:
            query = request.GET.copy()
            query.pop("offset", None)
            query["cursor"] = encode_cursor(self.keys, last)
            address = request.build_absolute_uri(request.path)
            headers["Link"] = f'<{address}?{query.urlencode(safe=",")}>; rel="next"'
        return headers


def _after(keys: Sequence[Key], values: Sequence[Any]) -> Q:
    """The rows after the one with these values. Nulls come last, and the last key has none."""
    directions = {key.descending for key in keys}
    if len(directions) == 1 and not any(key.field.null for key in keys):
        # A comparison of tuples, which a database can look up in an index.
        compare = TupleLessThan if directions.pop() else TupleGreaterThan
        return Q(compare(Tuple(*(F(key.name) for key in keys)), values))
    key, value = keys[0], values[0]
    is_null = Q(**{f"{key.name}__isnull": True})
    if value is None:
        return is_null & _after(keys[1:], values[1:])
    beyond = Q(**{f"{key.name}__{'lt' if key.descending else 'gt'}": value})
    if key.field.null:
        beyond |= is_null
    return beyond | Q(**{key.name: value}) & _after(keys[1:], values[1:])


def encode_cursor(keys: Sequence[Key], values: Sequence[Any]) -> str:
    """The place in the list after the row with these values of `keys`; opaque to clients."""
    place = orjson.dumps([",".join(map(str, keys)), *values])
    return urlsafe_b64encode(place).rstrip(b"=").decode()


def decode_cursor(text: str, keys: Sequence[Key]) -> tuple[Any, ...]:
    """The values in a cursor. Raises ValidationError unless it was made for this very order."""
    try:
        order, *values = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if order != ",".join(map(str, keys)):
            raise ValidationError("The cursor belongs to another ordering", "cursor_ordering")
        return tuple(key.parse(value) for key, value in zip(keys, values, strict=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise ValidationError("Input should be a cursor of a next link", "cursor_parsing") from error


class Fields(Parameter):
    """Some of these names, each once, comma-separated; of the fields that an object shall have, unless `what` says."""

    absent: Any = ()

    def __init__(self, names: Collection[str], what: str = "field", help_text: str = "") -> None:
        fields = "These fields of each object and no others, each once; `detail` says nothing then."
        super().__init__(help_text=help_text or fields)
        self.names, self.what = names, what
        words = {"type": "string", "enum": list(names)}
        self.schema = {"type": "array", "items": words, "minItems": 1, "uniqueItems": True}

    def to_python(self, value: Any) -> tuple[Any, ...]:
        chosen, code = tuple(value.split(",")), self.what.split()[0]
        for number, name in enumerate(chosen):
            if name not in self.names:
                raise ValidationError(f"There is no {self.what} {shown(name)}", f"{code}_unknown")
            if name in chosen[:number]:
                raise ValidationError(f"Input should name {name} once", f"{code}_twice")
        return chosen


class Ordering(Fields):
    """Names of fields, comma-separated, `-` for descending; as keys that end with the unique one, `guid`, which follows
    the direction of the last: an index then serves both directions."""

    def __init__(self, sortable: Mapping[str, "models.Field[Any, Any]"]) -> None:
        said = f"Up to {MAX_KEYS} fields, each once, with `-` for descending; nulls come last."
        super().__init__(sortable, "ordering by", said)
        self.sortable, self.absent = sortable, (Key("guid", sortable["guid"]),)
        self.schema["items"]["enum"] = [sign + name for name in sortable for sign in ("", "-")]
        self.schema["maxItems"] = MAX_KEYS

    def to_python(self, value: Any) -> tuple[Key, ...]:
        signed = value.split(",")
        names = super().to_python(",".join(name.removeprefix("-") for name in signed))
        if len(names) > MAX_KEYS:
            raise ValidationError(f"Input should name at most {MAX_KEYS} fields", "too_long")
        keys = [Key(name, self.sortable[name], sign.startswith("-")) for name, sign in zip(names, signed, strict=True)]
        if "guid" in names:
            return tuple(keys[: names.index("guid") + 1])  # what comes after a unique field orders nothing
        return (*keys, Key("guid", self.sortable["guid"], keys[-1].descending))


class CursorQuery(Query):
    """The parameters of a list that is paged through by `Link` alone: in its `order`, or by a field `ordering`."""

    order: ClassVar[tuple[Key, ...]] = (Key("guid", models.UUIDField()),)

    limit = Whole(1, MAX_LIMIT, DEFAULT_LIMIT, help_text=f"How many rows at most; {DEFAULT_LIMIT} by default.")
    cursor = Text(help_text="Where a page begins: comes with the address in `Link`, and is of no use elsewhere.")

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if "ordering" not in self.fields:
            given["ordering"] = self.order
        if given.get("cursor") is not None and given.get("ordering"):
            try:
                given["after"] = decode_cursor(given["cursor"], given["ordering"])
            except ValidationError as error:
                self.add_error("cursor", error)
        return given

    def page(self) -> Page:
        """The page asked for. Raises 422."""
        given = self.checked()
        count, offset = given.get("count", False), given.get("offset", 0)
        return Page(given["ordering"], given["limit"], offset, count, after=given.get("after"))


class PageQuery(CursorQuery):
    """The parameters of the other lists."""

    offset = Whole(0, 2**31 - 1, help_text="How many rows to leave out. To page through a list, rather follow `Link`.")
    count = Flag(help_text="Adds the header `X-Total-Count`.")
