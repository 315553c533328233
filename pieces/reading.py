"""How entities look on the wire (contract, "Reading and managing"): shapes derived from the models, read straight from
the columns, in a number of queries that does not depend on that of the rows."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from functools import cache, lru_cache
from typing import Any

from django.db import models, router
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ParseError

from pieces.models import LEVELS, NO_ACT, Entity, Piece
from pieces.querysets import dicts, streamed
from ractory.api.paging import MAX_PAGE_BYTES, Page
from ractory.api.rendering import to_json
from tenants.scope import current_scope

Shown = dict[str, Any]

SMALL = 45  # bytes of JSON: a guid or a moment, with its quotes and commas
FEW = 20  # rows that are fetched at once where they may be large

SHORT_PIECE = (
    *("guid", "piece_id", "project_guid", "component_guid", "assembly_guid", "barcode", "outer_length"),
    *("angle_left", "angle_right", "is_active", "deleted_at", "company_guid", "created_at", "updated_at"),
)


@cache
def fields_of(model: type[Entity], *, full: bool) -> tuple[str, ...]:
    """The fields that an object of this shape has. Only a full one has a picture and counts, and all of a piece."""
    columns = tuple(field.attname for field in model.wire_fields())
    if full:
        return (*columns, *counted(model))
    return SHORT_PIECE if model is Piece else tuple(name for name in columns if name != "picture")


@cache
def counted(model: type[Entity]) -> dict[str, type[Entity]]:
    """The counts that full objects have, `component_count` and so on: of the next level, and of pieces."""
    levels = (level for level in model.below() if level is Piece or level.parents[-1] == model.kind)
    return {f"{level.kind.value}_count": level for level in levels}


def visible(model: type[Entity], *, include_inactive: bool) -> Any:
    """The rows of the tenant scope, a queryset; the soft-deleted ones only if asked for."""
    return (model.all_objects if include_inactive else model.objects).all()


def read_page(
    rows: "QuerySet[Any]", page: Page, fields: Sequence[str], *, most: int | None = None
) -> tuple[list[Shown], Sequence[Any] | None]:
    """One page of `rows` as objects with these fields; if there are rows after it, its last row's values of the order.
    It ends before `page.limit` where it would be larger than `most` bytes, but has one object at least."""
    model: type[Entity] = rows.model
    keys = [key.name for key in page.keys]  # the last one is the guid
    columns = _columns(model, (*fields, *keys))
    items, more = read_within(page.of(rows), columns, page.limit, MAX_PAGE_BYTES if most is None else most)
    last = tuple(items[-1][key] for key in keys) if more else None
    return _objects(model, items, fields), last


def read_within(
    rows: "QuerySet[Any]", columns: Sequence[str], limit: int, most: int
) -> tuple[list[dict[str, Any]], bool]:
    """These columns of the first rows, `limit` or as many as have `most` bytes of JSON, one at least; and whether there
    are more."""
    rows, found, size = rows[: limit + 1], list[Shown](), 0
    if limit * largest_row(rows.model, columns) <= most:
        found = dicts(rows, columns)
        return found[:limit], len(found) > limit
    with closing(streamed(rows.values(*columns), chunk=FEW)) as stream:  # a thousand pictures must not even be fetched
        for row in stream:
            size += len(to_json(row)) + 1
            if found and size > most:
                return found[:limit], True
            found.append(row)
    return found[:limit], len(found) > limit


def read_one(model: type[Entity], guid: uuid.UUID, fields: Sequence[str], *, include_inactive: bool) -> Shown:
    """The object with these fields. Raises 404 if there is none, or a deleted one that was not asked for."""
    keys = () if counted(model).keys().isdisjoint(fields) else ("guid",)  # by which counts are found
    columns = _columns(model, (*fields, *keys))
    company, source = current_scope().company, router.db_for_read(model)
    query, sql, selected = _compiled(model, tuple(columns), include_inactive, company is not None, source)
    compiler = query.get_compiler(source)
    # In the order of the conditions: first the scope's, which each query of a tenant's model begins with.
    found = compiler.connection.cursor().execute(sql, [value for value in (company, guid) if value]).fetchall()
    if compiler.connection.vendor == "sqlite":  # whose driver knows neither UUIDs nor datetimes
        found = list(compiler.apply_converters(found, compiler.get_converters(selected)))
    if not found:
        raise NotFound(f"There is no {model.kind} {guid}.")
    return _objects(model, [dict(zip(columns, found[0], strict=True))], fields)[0]


@lru_cache(maxsize=256)  # `fields` is any choice of a client's
def _compiled(model: type[Entity], columns: tuple[str, ...], inactive: bool, scoped: bool, source: str) -> Any:
    """The query for one row, its SQL and its columns. To compile the 63 of a piece takes longer than to read them."""
    rows = visible(model, include_inactive=inactive).using(source).filter(guid=NO_ACT).values_list(*columns)
    compiler = rows.query.get_compiler(source)
    sql, _ = compiler.as_sql()
    return rows.query, sql, [column for column, *_ in compiler.select]


def _columns(model: type[Entity], fields: Sequence[str]) -> list[str]:
    """Those of the fields that are columns, each once."""
    return list(dict.fromkeys(name for name in fields if name not in counted(model)))


def _objects(model: type[Entity], items: list[Shown], fields: Sequence[str]) -> list[Shown]:
    """Rows as objects with these fields and nothing else."""
    add_counts(model, items, fields)
    for name in set(items[0] if items else ()).difference(fields):
        for item in items:
            del item[name]
    return items


def add_counts(model: type[Entity], items: Sequence[Shown], fields: Collection[str] | None = None) -> None:
    """Gives each item the numbers of its active descendants, all or those among `fields`; one query per level."""
    for name, level in counted(model).items():
        if items and (fields is None or name in fields):
            counts = level.objects.counts_in(model.kind, [item["guid"] for item in items])
            for item in items:
                item[name] = counts.get(item["guid"].bytes, 0)


def largest_row(model: type[models.Model], columns: Collection[str]) -> int:
    """How many bytes of JSON an object with these columns may have."""
    most = 0
    for field in model._meta.concrete_fields:
        if field.attname in columns:
            most += len(field.attname) + SMALL
            if isinstance(field, models.BinaryField):
                most += (field.max_length or 0) * 4 // 3
            elif isinstance(field, models.CharField | models.TextField):
                most += (field.max_length or MAX_PAGE_BYTES) * 6  # a control character is "\\u0001"
    return most


def check_parents(wanted: Mapping[str, Any], *, include_inactive: bool) -> None:
    """Raises 404 if a parent that a list is filtered by is not visible, 400 if they do not fit each other. `wanted` has
    the guids by column, None where there is no filter."""
    for level in LEVELS:
        guid = wanted.get(level.kind.column)
        if guid is None:
            continue
        rows = visible(level, include_inactive=include_inactive).filter(guid=guid)
        parent = rows.values("guid", *level.parent_columns()).first()
        if parent is None:
            raise NotFound(f"There is no {level.kind} {guid}.")
        for column in level.parent_columns():
            if wanted.get(column) not in (None, parent[column]):
                raise ParseError(f"The {level.kind} {guid} is not in {column} {wanted[column]}.")
