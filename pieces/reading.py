"""How entities look on the wire (contract, "Reading and managing"), read straight from the columns.

The shapes are derived from the models. The number of queries does not depend on the number of rows.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ParseError

from pieces.models import LEVELS, Entity, Piece
from pieces.querysets import fetched
from ractory.api.paging import Page

Shown = dict[str, Any]

TEXT, TIMESTAMPTZ = 25, 1184  # PostgreSQL's oids of these types

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


def read_page(rows: "QuerySet[Any]", page: Page, *, full: bool) -> Listed:
    """One page of `rows`, as short or as full objects."""
    model: type[Entity] = rows.model
    columns = columns_of(model, full=full)
    extra = tuple(key.name for key in page.keys if key.name not in columns)
    found = fetched(page.of(rows).values_list(*columns, *extra))
    items = [dict(zip(columns, row, strict=False)) for row in found[: page.limit]]  # without the extra ones
    last = None
    if len(found) > page.limit:
        row = dict(zip((*columns, *extra), found[page.limit - 1], strict=True))
        last = [row[key.name] for key in page.keys]
    if full:
        add_counts(model, items)
    return Listed(items, last)


def read_one(model: type[Entity], guid: uuid.UUID, *, include_inactive: bool) -> Shown:
    """The full object. Raises 404 if there is none, or a deleted one that was not asked for."""
    item: Shown | None = (
        visible(model, include_inactive=include_inactive)
        .filter(guid=guid)
        .values(*columns_of(model, full=True))
        .first()
    )
    if item is None:
        raise NotFound(f"There is no {model.kind} {guid}.")
    add_counts(model, [item])
    return item


def counted(model: type[Entity]) -> dict[str, type[Entity]]:
    """The counts that full objects have, `component_count` and so on: of the next level, and of pieces."""
    levels = (level for level in model.below() if level is Piece or level.parents[-1] == model.kind)
    return {f"{level.kind.value}_count": level for level in levels}


def add_counts(model: type[Entity], items: Sequence[Shown]) -> None:
    """Gives each item the numbers of its active descendants; one query per level."""
    guids = [uuid.UUID(str(item["guid"])) for item in items]
    for name, level in counted(model).items() if guids else ():
        counts = level.objects.counts_by(f"{model.kind.value}_guid", guids)
        for item, guid in zip(items, guids, strict=True):
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
