"""The querysets and managers of the four entities: soft deletion, and which rows a scope may see."""

import uuid
from collections.abc import Collection, Generator, Sequence
from contextlib import nullcontext
from typing import Any, Self

from django.db import connections, models, transaction
from django.db.models.expressions import RawSQL

from pieces.acts import Kind
from pieces.bulk import VERSION_SQL, BulkQuerySet
from tenants.scope import TenantManager

VERSION = RawSQL(VERSION_SQL, (), output_field=models.TextField())  # noqa: S611  # no input in it
CHUNK = 100  # rows that are fetched at once; each may have a picture
TIMESTAMPTZ = 1184  # PostgreSQL's oid of the type


def fetched(rows: "models.QuerySet[Any, tuple[Any, ...]]", lock: str = "") -> list[tuple[Any, ...]]:
    """The tuples of a `values_list()`, all at once; on PostgreSQL with the rows locked in this way, and straight from
    the driver: Django would fetch them by the hundred, and load datetimes in Python, which takes longer than all the
    rest. psycopg's own loader gives the same, the connection's time zone being UTC."""
    connection = connections[rows.db]
    if connection.vendor != "postgresql":
        return list(rows)
    from psycopg import adapters
    from psycopg.pq import Format

    sql, params = rows.query.get_compiler(rows.db).as_sql()
    with connection.cursor() as cursor:
        cursor.adapters.register_loader("timestamptz", adapters.get_loader(TIMESTAMPTZ, Format.TEXT))
        cursor.execute(f"{sql} {lock}", params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def dicts(rows: "models.QuerySet[Any]", names: Sequence[str]) -> list[dict[str, Any]]:
    """These columns of the rows by name, all at once."""
    return [dict(zip(names, row, strict=True)) for row in fetched(rows.values_list(*names))]


def streamed(rows: "models.QuerySet[Any]", chunk: int = CHUNK) -> Generator[Any]:
    """The rows, as one moment has them: one statement, fetched bit by bit. Close it if you stop early. In a
    transaction, as server-side cursors are safe then behind a pooler too; not on SQLite, where it would keep writers
    away."""
    on_postgresql = connections[rows.db].vendor == "postgresql"
    found: Any = rows._iterable_class(rows, chunked_fetch=True, chunk_size=chunk)
    with transaction.atomic(using=rows.db) if on_postgresql else nullcontext():
        yield from found


class EntityQuerySet(BulkQuerySet):
    """Sets of rows that may be soft-deleted."""

    def without_picture(self) -> Self:
        """Loads no pictures, which are large."""
        return self.defer("picture") if hasattr(self.model, "picture") else self

    def in_any_of(self, kind: Kind, guids: Collection[uuid.UUID]) -> Self:
        """Those in one of the entities of this level that have these guids; of the same level, these themselves."""
        column = "guid" if self.model.kind == kind else kind.column
        return self.filter(**{f"{column}__any_of": list(guids)})

    def counts_in(self, kind: Kind, guids: Collection[uuid.UUID]) -> dict[bytes, int]:
        """How many rows are in each of these entities of a level above, by `guid.bytes`; zeros are left out."""
        counted = self.in_any_of(kind, guids).order_by().values_list(kind.column).annotate(models.Count("guid"))
        return {guid.bytes: rows for guid, rows in counted}

    def shared(self, *fields: str) -> list[tuple[Any, ...]]:
        """These fields of the rows, in guid order; until the transaction ends others may lock them in the same way, but
        not change them. On SQLite, where a writing transaction is alone, plain reading."""
        return fetched(self.order_by("guid").values_list(*fields), lock="FOR SHARE")

    def locked(self) -> int:
        """Locks the rows, in guid order, against change; their number."""
        return len(fetched(self.order_by("guid").values_list("guid"), lock="FOR NO KEY UPDATE"))

    def delete(self) -> Any:
        """Refused: rows are only ever soft-deleted (pieces.changes), or purged by an operator."""
        raise TypeError("Rows are soft-deleted: see pieces.changes.")

    delete.queryset_only = True  # type: ignore[attr-defined]  # Django's flag: not copied onto managers


class AllManager(TenantManager.from_queryset(EntityQuerySet)):  # type: ignore[misc]  # a class made at run time
    """`all_objects`: the active and the soft-deleted rows of the scope."""


class ActiveManager(AllManager):
    """`objects`: the active rows of the scope."""

    def get_queryset(self) -> EntityQuerySet:
        rows: EntityQuerySet = super().get_queryset().filter(is_active=True)
        return rows
