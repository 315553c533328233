"""The querysets and managers of the four entities: soft deletion, and which rows a scope may see."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Self

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import RawSQL
from django.db.models.sql.compiler import SQLCompiler

from pieces.bulk import VERSION_SQL, insert_rows, stamp_sql, update_rows
from tenants.scope import TenantManager

VERSION = RawSQL(VERSION_SQL, (), output_field=models.TextField())  # noqa: S611  # no input in it
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


class Stamp(models.Func):
    """The value of `updated_at` in an UPDATE (pieces.bulk.stamp_sql)."""

    output_field = models.DateTimeField()

    def __init__(self) -> None:
        super().__init__("updated_at")

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *_: Any, **__: Any) -> Any:
        column, params = compiler.compile(self.get_source_expressions()[0])
        return stamp_sql(connection, column), params


class BulkQuerySet(models.QuerySet[Any]):
    """Django's `bulk_create` and `bulk_update`, with their signatures and results, by a fixed number of statements.

    Objects that carry expressions in place of values are left to Django.
    """

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        objects, fields = list(objs), [field for field in self.model._meta.concrete_fields if not field.generated]
        for obj in objects:
            obj._prepare_related_fields_for_save(operation_name="bulk_create")
        rows = [tuple([field.pre_save(obj, add=True) for field in fields]) for obj in objects]
        options = (ignore_conflicts, update_conflicts, update_fields, unique_fields)
        if not objects or _has_expressions(rows):
            return super().bulk_create(objects, batch_size, *options)
        super().bulk_create([], batch_size)  # checks the size
        conflict = self._conflict_sql(fields, *options)
        with transaction.atomic(using=self.db):
            insert_rows(self.model, [str(field.column) for field in fields], rows, conflict=conflict)
        for obj in objects:
            obj._state.adding, obj._state.db = False, self.db
        return objects

    def _conflict_sql(
        self,
        fields: "Sequence[models.Field[Any, Any]]",
        ignore: bool,
        update: bool,
        update_names: Collection[str] | None,
        unique_names: Collection[str] | None,
    ) -> tuple[str, str]:
        """How Django's backend would begin and end its INSERT; its own checks of the options included."""
        meta: Any = self.model._meta
        unique = [meta.pk if name == "pk" else meta.get_field(name) for name in unique_names or ()]
        updated = [meta.get_field(name) for name in update_names or ()]
        django: Any = self
        chosen = django._check_bulk_create_options(ignore, update, updated, unique)
        columns = ([field.column for field in group] for group in (updated, unique))
        ops = connections[self.db].ops
        return ops.insert_statement(on_conflict=chosen), ops.on_conflict_suffix_sql(fields, chosen, *columns)

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        objects, names = list(objs), list(fields)
        super().bulk_update([], names, batch_size)  # checks the names
        columns = [self.model._meta.pk, *(self.model._meta.get_field(name) for name in names)]
        rows = [tuple([getattr(obj, column.attname) for column in columns]) for obj in objects]
        if _has_expressions(rows) or not all(row[0] for row in rows):
            return super().bulk_update(objects, names, batch_size)
        for obj in objects:
            obj._prepare_related_fields_for_save(operation_name="bulk_update", fields=columns)
        with transaction.atomic(using=self.db):  # within the set that this is called on: its scope, its filters
            mine = set(self.filter(pk__any_of=[row[0] for row in rows]).values_list("pk", flat=True))
            mine_rows = [row for row in rows if row[0] in mine]
            return update_rows(self.model, [str(column.column) for column in columns], mine_rows)


def _has_expressions(rows: Iterable[Sequence[Any]]) -> bool:
    return any(hasattr(value, "resolve_expression") for row in rows for value in row)


class EntityQuerySet(BulkQuerySet):
    """Sets of rows that may be soft-deleted."""

    def active(self) -> Self:
        return self.filter(is_active=True)

    def write(self, **values: Any) -> int:
        """An `update()` of entities' rows, by all but sync: it stamps them, and no item's bytes stand for them now.

        PostgreSQL computes the new values of a row before it waits for the row's lock; so the rows are locked first,
        in guid order, by the same statement.
        """
        rows = self
        if connections[self.db].features.has_select_for_update:
            locked = self.order_by("guid").select_for_update(no_key=True).values("guid")
            rows = self.model.all_objects.filter(guid__in=locked)
        return rows.update(updated_at=Stamp(), sent_digest=None, **values)

    def counts_by(self, column: str, guids: Collection[uuid.UUID]) -> dict[bytes, int]:
        """How many rows have each of these guids in the column, by `guid.bytes`; without those that none has."""
        rows = self.filter(**{f"{column}__any_of": list(guids)}).order_by()
        return {guid.bytes: rows for guid, rows in rows.values_list(column).annotate(models.Count("guid"))}

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
            cursor.execute(f"SELECT string_agg(version, ' ') FROM ({sql}) AS locked(version)", params)  # noqa: S608  # of Django
            row = cursor.fetchone()
        return (row and row[0]) or ""

    def delete(self) -> Any:
        """Refused: rows are only ever soft-deleted (pieces.deletion), or purged by an operator."""
        raise TypeError("Rows are soft-deleted: see pieces.deletion.soft_delete().")

    delete.queryset_only = True  # type: ignore[attr-defined]  # Django's flag: not copied onto managers


class AllManager(TenantManager.from_queryset(EntityQuerySet)):  # type: ignore[misc]  # a class made at run time
    """`all_objects`: the active and the soft-deleted rows of the scope."""


class ActiveManager(AllManager):
    """`objects`: the active rows of the scope."""

    def get_queryset(self) -> EntityQuerySet:
        rows: EntityQuerySet = super().get_queryset()
        return rows.active()
