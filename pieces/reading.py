"""How entities look on the wire (contract, "Reading and managing"), read straight from the columns.

The shapes are derived from the models. The number of queries does not depend on the number of rows.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import models
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce, Length
from rest_framework.exceptions import NotFound, ParseError

from pieces.models import LEVELS, Entity, Piece
from pieces.querysets import fetched
from pieces.texts import JoinedTexts, JsonBytes
from ractory.api.paging import MAX_PAGE_BYTES, Page, fitting

Shown = dict[str, Any]

SMALL = 45  # bytes of JSON: a guid or a moment, with its quotes and commas

SHORT_PIECE = (
    *("guid", "piece_id", "project_guid", "component_guid", "assembly_guid", "barcode", "outer_length"),
    *("angle_left", "angle_right", "is_active", "deleted_at", "company_guid", "created_at", "updated_at"),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list."""

    items: list[Shown]
    last: Sequence[Any] | None  # the order's values in the last row, if there are rows after it


@cache
def columns_of(model: type[Entity], *, full: bool) -> tuple[str, ...]:
    """The columns that an object of this shape has. A short one has no picture, and of a piece only the essentials."""
    if full:
        return tuple(field.attname for field in model.wire_fields())
    if model is Piece:
        return SHORT_PIECE
    return tuple(name for name in columns_of(model, full=True) if name != "picture")


def visible(model: type[Entity], *, include_inactive: bool) -> "QuerySet[Any]":
    """The rows of the tenant scope; the soft-deleted ones only if asked for."""
    rows: QuerySet[Any] = model.all_objects.all() if include_inactive else model.objects.all()
    return rows


def fields_of(model: type[Entity], *, full: bool) -> tuple[str, ...]:
    """The fields that an object of this shape has; a full one has them all."""
    return (*columns_of(model, full=full), *(counted(model) if full else ()))


def read_page(rows: "QuerySet[Any]", page: Page, fields: Sequence[str]) -> Listed:
    """One page of `rows`, as objects with these fields.

    It ends before `page.limit` where it would be larger than `MAX_PAGE_BYTES`, but has one object at least.
    """
    model: type[Entity] = rows.model
    keys = [key.name for key in page.keys]  # the last one is the guid
    names = tuple(dict.fromkeys((*_columns(model, fields), *keys)))
    if page.limit * largest_row(model, names) <= MAX_PAGE_BYTES:
        found = fetched(page.of(rows).values_list(*names))
        shown = page.limit
        row = dict(zip(names, found[shown - 1], strict=True)) if len(found) > shown else None
        last = tuple(row[key] for key in keys) if row else None
    else:  # A thousand pictures must not even be fetched, so first it is asked how large the objects are.
        sized = fetched(page.of(rows).values_list(*keys, row_bytes(model, names)))
        shown = fitting((size for *_, size in sized[: page.limit]), most=MAX_PAGE_BYTES)
        last = sized[shown - 1][:-1] if len(sized) > shown else None
        # What others write between the two statements may come on top: as much as they send in that moment.
        guids = [guid for *_, guid, _ in sized[:shown]]
        found = fetched(page.ordered(rows.filter(guid__any_of=guids)).values_list(*names))
    return Listed(_objects(model, names, found[:shown], fields), last)


def read_one(model: type[Entity], guid: uuid.UUID, fields: Sequence[str], *, include_inactive: bool) -> Shown:
    """The object with these fields. Raises 404 if there is none, or a deleted one that was not asked for."""
    columns = _columns(model, fields)
    found = visible(model, include_inactive=include_inactive).filter(guid=guid).values_list(*columns).first()
    if found is None:
        raise NotFound(f"There is no {model.kind} {guid}.")
    return _objects(model, columns, [found], fields)[0]


def _columns(model: type[Entity], fields: Sequence[str]) -> tuple[str, ...]:
    """Those of the fields that are columns; then the guid, by which the other ones are counted."""
    columns = tuple(name for name in fields if name not in counted(model))
    return columns if len(columns) == len(fields) or "guid" in columns else (*columns, "guid")


def _objects(
    model: type[Entity], names: Sequence[str], rows: Sequence[Sequence[Any]], fields: Sequence[str]
) -> list[Shown]:
    """The rows, whose columns have these names, as objects with these fields and nothing else."""
    columns = [name for name in fields if name not in counted(model)]  # `names` begins with them
    items = [dict(zip(columns, row, strict=False)) for row in rows]
    if len(columns) < len(fields):
        position = names.index("guid")
        add_counts(model, items, [row[position] for row in rows], fields)
    return items


def largest_row(model: type[Entity], names: Sequence[str]) -> int:
    """How many bytes of JSON an object with these columns may have."""
    sizes = {field.attname: _largest(field) for field in model.wire_fields()}
    return sum(sizes[name] + len(name) for name in names)


def _largest(field: "models.Field[Any, Any]") -> int:
    limit = field.max_length or 0
    if isinstance(field, models.BinaryField):
        return limit * 4 // 3 + SMALL
    return (limit * 6 if isinstance(field, models.CharField) else 0) + SMALL  # a control character is "\\u0001"


def row_bytes(model: type[Entity], names: Sequence[str]) -> Any:
    """About how many bytes of JSON each row with these columns has, as the database sees it; it reads no picture."""
    fields = [field for field in model.wire_fields() if field.attname in names]
    texts = [field.attname for field in fields if isinstance(field, models.CharField)]
    size: Any = Value(sum(SMALL + len(field.attname) for field in fields), models.IntegerField())
    if texts:
        size += JsonBytes(JoinedTexts(*texts))
    if "picture" in names:
        size += Coalesce(Length("picture"), 0) * 4 / 3
    return size


def counted(model: type[Entity]) -> dict[str, type[Entity]]:
    """The counts that full objects have, `component_count` and so on: of the next level, and of pieces."""
    levels = (level for level in model.below() if level is Piece or level.parents[-1] == model.kind)
    return {f"{level.kind.value}_count": level for level in levels}


def add_counts(
    model: type[Entity],
    items: Sequence[Shown],
    guids: Sequence[uuid.UUID] | None = None,
    fields: Collection[str] | None = None,
) -> None:
    """Gives each item the numbers of its active descendants, all or those among `fields`; one query per level.

    `guids` are those of the items, where they do not have them.
    """
    whose = [uuid.UUID(str(item["guid"])) for item in items] if guids is None else guids
    for name, level in counted(model).items() if whose else ():
        if fields is None or name in fields:
            counts = level.objects.counts_in(model.kind, whose)
            for item, guid in zip(items, whose, strict=True):
                item[name] = counts.get(guid.bytes, 0)


def check_parents(model: type[Entity], wanted: Mapping[str, Any], *, include_inactive: bool) -> None:
    """Raises 404 if a parent that a list is filtered by is not visible, 400 if they do not fit each other.

    `wanted` has the guids by column, None where there is no filter. A deleted parent is visible with
    `include_inactive` only.
    """
    for level in LEVELS:
        guid = wanted.get(f"{level.kind.value}_guid") if level.kind in model.parents else None
        if guid is None:
            continue
        links = level.parent_columns()
        rows = visible(level, include_inactive=include_inactive).filter(guid=guid)
        parent = rows.values("guid", *links).first()
        if parent is None:
            raise NotFound(f"There is no {level.kind} {guid}.")
        for link in links:
            if wanted.get(link) not in (None, parent[link]):
                raise ParseError(f"The {level.kind} {guid} is not in {link} {wanted[link]}.")
