"""Django's `bulk_create` and `bulk_update` in a fixed number of statements, whatever the number and the width of rows.

PostgreSQL: binary `COPY` into a temporary table, then one `INSERT` or `UPDATE` from it. SQLite: one `executemany`, for
an `UPDATE` into a temporary table too.
Which rows to write, and with what, is decided elsewhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, TypeAlias, cast

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

Row = Sequence[Any]
Field: TypeAlias = "models.Field[Any, Any]"
# Of a row on PostgreSQL: the transaction that wrote it. It is there anyway, so it costs neither a column nor a write.
VERSION_SQL = "xmin::text"

_stages = count()


def database_clock() -> datetime:
    """The time by the clock that all hosts share: on PostgreSQL the database's. SQLite knows one host only."""
    connection = connections["default"]
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def stamp_sql(connection: BaseDatabaseWrapper, column: str) -> str:
    """SQL for the `updated_at` of a row that is being updated: the time, and later than what is stored in `column`.

    PostgreSQL computes it by its own clock for each row, but before it waits for the row's lock: whoever may have to
    wait locks first. SQLite's only writer holds the lock already.
    """
    if connection.vendor == "postgresql":
        return f"GREATEST(clock_timestamp(), {column} + interval '1 microsecond')"
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return f"CASE WHEN {column} < '{now}' THEN '{now}' ELSE django_format_dtdelta('+', {column}, 1) END"


class BulkQuerySet(models.QuerySet[Any]):
    """Takes rows, tuples of the values of the columns that are named beside them, or objects as Django does.

    What else Django's two methods can do (batches, conflicts, expressions in place of values) is left to them.
    """

    def bulk_create(self, objs: Iterable[Any], *args: Any, columns: Sequence[str] = (), **options: Any) -> list[Any]:
        """Inserts them. Raises IntegrityError if one is there already, or breaks another constraint."""
        found = list(objs)
        if columns and found:
            self._insert_rows(columns, found)
        if columns or not found:
            return found
        fields = [field for field in self.model._meta.concrete_fields if not field.generated]
        for obj in found:
            obj._prepare_related_fields_for_save(operation_name="bulk_create")
        rows = [tuple([field.pre_save(obj, add=True) for field in fields]) for obj in found]
        if args or options or _has_expressions(rows):
            return super().bulk_create(found, *args, **options)
        with transaction.atomic(using=self.db, savepoint=False):
            self._insert_rows([str(field.column) for field in fields], rows)
        for obj in found:
            obj._state.adding, obj._state.db = False, self.db
        return found

    def bulk_update(
        self,
        objs: Iterable[Any],
        fields: Iterable[str],
        batch_size: int | None = None,
        *,
        stamp: str | None = None,
        unless_same: Mapping[str, str] | None = None,
        versioned: bool = False,
    ) -> int:
        """Sets the fields where the rows are there; returns the number of these.

        A row begins with its key; its values are in the order of `fields`. Rows are found by their key alone: whether
        they are in this set is for the caller to know. Objects outside of the set stay as they are.

        `stamp` names a further column, which gets the time of writing (stamp_sql).
        `unless_same` maps a large column to the column of its digest: where the digest stays, the value stays, and the
        row need not bring it along. With `versioned` each row ends with the version that the stored one must have; one
        that somebody has written meanwhile stays as it is. On SQLite, where a writing transaction is alone, none has.
        """
        found, names = list(objs), list(fields)
        if not found or not isinstance(found[0], models.Model):
            return self._update_rows(names, found, stamp, unless_same or {}, versioned) if found else 0
        key = self.model._meta.pk
        columns = [key, *(self.model._meta.get_field(name) for name in names)]
        rows = [tuple([getattr(obj, column.attname) for column in columns]) for obj in found]
        if batch_size is not None or not names or key in columns[1:] or _has_expressions(rows):
            return super().bulk_update(found, names, batch_size)
        with transaction.atomic(using=self.db, savepoint=False):
            mine = set(self.filter(pk__any_of=[row[0] for row in rows]).values_list("pk", flat=True))
            mine_rows = [row for row in rows if row[0] in mine]
            attributes = [column.attname for column in columns[1:]]
            return self._update_rows(attributes, mine_rows, None, {}, False) if mine_rows else 0

    def _insert_rows(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        connection, table = self._table()
        quote = connection.ops.quote_name
        into = f"INSERT INTO {table} ({', '.join(map(quote, columns))})"
        if connection.vendor == "postgresql":
            staged, key = _staged(connection, self.model, columns, rows), quote(_field(self.model, "pk").attname)
            with connection.cursor() as cursor:
                cursor.execute(f"{into} SELECT * FROM {staged} ORDER BY {key}")  # noqa: S608  # names, quoted
        else:
            marks = ", ".join(["%s"] * len(columns))
            _executemany(connection, f"{into} VALUES ({marks})", self.model, columns, rows)

    def _update_rows(
        self,
        names: Sequence[str],
        rows: Sequence[Row],
        stamp: str | None,
        unless_same: Mapping[str, str],
        versioned: bool,
    ) -> int:
        connection, table = self._table()
        quote, columns = connection.ops.quote_name, (_field(self.model, "pk").attname, *names)
        staged = _staged(connection, self.model, columns, rows, versioned=versioned)
        sets = [f"{quote(stamp)} = {stamp_sql(connection, f'{table}.{quote(stamp)}')}"] if stamp else []
        for column in names:
            value = f"staged.{quote(column)}"
            if column in unless_same:
                old, digest = f"{table}.{quote(column)}", quote(unless_same[column])
                value = f"CASE WHEN {table}.{digest} = staged.{digest} THEN {old} ELSE {value} END"
            sets.append(f"{quote(column)} = {value}")
        key = quote(columns[0])
        # In the order of the key, so that two writers of the same rows wait in one order.
        source = f"FROM (SELECT * FROM {staged} ORDER BY {key}) AS staged WHERE {table}.{key} = staged.{key}"  # noqa: S608  # names, quoted
        same_version = f" AND {table}.{VERSION_SQL} = staged.version" if versioned else ""
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {', '.join(sets)} {source}{same_version}")  # noqa: S608  # names, quoted
            found = int(cursor.rowcount)
            if connection.vendor == "sqlite":
                cursor.execute(f"DROP TABLE {staged}")
        return found

    def _table(self) -> tuple[BaseDatabaseWrapper, str]:
        connection = connections[self.db]
        return connection, connection.ops.quote_name(self.model._meta.db_table)


def _has_expressions(rows: Iterable[Row]) -> bool:
    return any(hasattr(value, "resolve_expression") for row in rows for value in row)


def _staged(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    versioned: bool = False,
) -> str:
    """The name of a temporary table with the rows; on PostgreSQL it ends with the transaction.

    COPY itself can't update, and is refused under row-level security. On SQLite a statement for each row would make
    ready for the table's trigger anew each time, which takes as long as all the rest.
    """
    quote = connection.ops.quote_name
    name = f"staged_{next(_stages)}"
    names = ", ".join(map(quote, columns))
    source = f"FROM {quote(model._meta.db_table)}"
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT {names} {source} WHERE 0")  # names, quoted
        marks = ", ".join(["%s"] * len(columns))
        _executemany(connection, f"INSERT INTO {name} VALUES ({marks})", model, columns, rows)  # noqa: S608  # our own name
        return name
    names += ", '' AS version" if versioned else ""
    types = [(_field(model, column).db_type(connection) or "").partition("(")[0] for column in columns]
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {names} {source} WITH NO DATA"
        )  # names, quoted
        copying = cursor.copy(f"COPY {name} FROM STDIN (FORMAT BINARY)")
        with connection.wrap_database_errors, copying as copy:  # Django's cursor does not wrap what COPY raises
            copy.set_types([*types, "text"] if versioned else types)
            for row in rows:
                copy.write_row(row)
    return name


def _executemany(
    connection: BaseDatabaseWrapper, sql: str, model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]
) -> None:
    fields = [_field(model, name) for name in columns]
    adapters = [(index, adapter) for index, field in enumerate(fields) if (adapter := _adapter(connection, field))]

    def adapted(row: Row) -> list[Any]:
        values = list(row)
        for index, adapter in adapters:
            if values[index] is not None:
                values[index] = adapter(values[index])
        return values

    with connection.cursor() as cursor:
        cursor.executemany(sql, [adapted(row) for row in rows])


def _field(model: type[models.Model], name: str) -> Field:
    return cast("Field", model._meta.pk if name == "pk" else model._meta.get_field(name))


def _adapter(connection: BaseDatabaseWrapper, field: Field) -> Callable[[Any], Any] | None:
    """How a value of this field is stored where the driver does not know its type; None if it does."""
    stored = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(stored, models.UUIDField):
        return lambda value: value.hex
    if isinstance(stored, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    return None
