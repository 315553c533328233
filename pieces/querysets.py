"""The querysets and managers of the four entities: soft deletion, and which rows a scope may see."""

from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models
from django.db.models.expressions import RawSQL

from tenants.scope import TenantManager

if TYPE_CHECKING:
    from pieces.models import Entity  # noqa: F401  # the models import their managers

# Of a row: the transaction that wrote it. PostgreSQL's own, so it costs neither a column nor a write.
VERSION = RawSQL("xmin::text", (), output_field=models.TextField())  # no input in it


TIMESTAMPTZ = 1184  # PostgreSQL's oid of the type


def fetched(rows: "models.QuerySet[Any, tuple[Any, ...]]") -> list[tuple[Any, ...]]:
    """The tuples of a `values_list()`, all at once.

    On PostgreSQL straight from the driver. Django would fetch them by the hundred, and load datetimes in Python,
    which takes longer than all the rest; psycopg's own loader gives the same, the connection's time zone being UTC.
    """
    connection = connections[rows.db]
    if connection.vendor != "postgresql":
        return list(rows)
    from psycopg import adapters
    from psycopg.pq import Format

    sql, params = rows.query.get_compiler(rows.db).as_sql()
    with connection.cursor() as cursor:
        cursor.adapters.register_loader("timestamptz", adapters.get_loader(TIMESTAMPTZ, Format.TEXT))
        cursor.execute(sql, params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


class EntityQuerySet(models.QuerySet["Entity"]):
    """Sets of rows that may be soft-deleted."""

    def active(self) -> Self:
        return self.filter(is_active=True)

    def deleted(self) -> Self:
        return self.filter(is_active=False)

    def shared(self, *fields: str) -> list[tuple[Any, ...]]:
        """These fields of the rows, in guid order; the rows stay as they are until the transaction ends.

        `FOR SHARE`: others may lock them in the same way, but not change them. On SQLite, where a writing
        transaction is alone anyway, plain reading.
        """
        rows = self.order_by("guid").values_list(*fields)
        connection = connections[self.db]
        if not connection.features.has_select_for_update:
            return list(rows)
        sql, params = rows.query.get_compiler(self.db).as_sql()
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} FOR SHARE", params)
            locked: list[tuple[Any, ...]] = cursor.fetchall()
        return locked

    def locked_versions(self) -> str:
        """Locks the rows, in guid order, against change; their versions in this order, as one string (PostgreSQL)."""
        rows = self.order_by("guid").select_for_update(no_key=True).values_list(VERSION)
        sql, params = rows.query.get_compiler(self.db).as_sql()
        with connections[self.db].cursor() as cursor:
            cursor.execute(f"SELECT string_agg(version, ' ') FROM ({sql}) AS locked(version)", params)  # noqa: S608
            row = cursor.fetchone()
        return (row and row[0]) or ""

    def delete(self) -> Any:
        """Refused: rows are only ever soft-deleted (pieces.deletion), or purged by an operator."""
        raise TypeError("Rows are soft-deleted: see pieces.deletion.soft_delete().")

    delete.queryset_only = True  # type: ignore[attr-defined]  # Django's flag: not copied onto managers


class AllManager(TenantManager.from_queryset(EntityQuerySet)):  # type: ignore[misc]
    """`all_objects`: the active and the soft-deleted rows of the scope."""


class ActiveManager(AllManager):
    """`objects`: the active rows of the scope."""

    def get_queryset(self) -> EntityQuerySet:
        rows: EntityQuerySet = super().get_queryset()
        return rows.active()
