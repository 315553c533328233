"""Writing many rows with a fixed number of statements, whatever their number and width.

PostgreSQL: binary `COPY` into a temporary table, then one `INSERT` or `UPDATE` from it. SQLite: one `executemany`.
Rows are tuples, in the order of `columns`; which rows to write, and with what, is decided elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import count
from operator import itemgetter
from typing import Any, cast

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

Row = Sequence[Any]
PLAIN = ("INSERT INTO", "")
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


def insert_rows(
    model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], *, conflict: tuple[str, str] = PLAIN
) -> None:
    """Inserts `rows`; IntegrityError if one of them is there already, or breaks another constraint.

    `conflict` is SQL that says otherwise: how the statement begins, and how it ends.
    """
    if not rows:
        return
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    verb, on_conflict = conflict
    into = f"{verb} {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"
    if connection.vendor == "postgresql":
        source, key = _staged(connection, model, columns, rows), quote(_field(model, "pk").attname)
        with connection.cursor() as cursor:
            cursor.execute(f"{into} SELECT * FROM {source} ORDER BY {key} {on_conflict}")  # noqa: S608  # names, quoted
    else:
        _executemany(connection, f"{into} VALUES ({_marks(columns)}) {on_conflict}", model, columns, rows)


def update_rows(
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    stamp: str | None = None,
    unless_same: Mapping[str, str] | None = None,
    versioned: bool = False,
) -> int:
    """Sets `columns`, the first of which is the primary key, in the rows that are there; returns their number.

    `stamp` names a further column, which gets the time of writing (stamp_sql).
    `unless_same` maps a large column to the column of its digest: where the digest stays, the value stays, and the
    row need not bring it along. With `versioned` each row ends with the version that the stored one must have; one
    that somebody has written meanwhile stays as it is. On SQLite, where a writing transaction is alone, none has.
    """
    if not rows:
        return 0
    connection = connections[router.db_for_write(model)]
    if connection.vendor != "postgresql":
        order: list[int] = []  # of the columns among the parameters

        def parameter(column: str) -> str:
            order.append(columns.index(column))
            return "%s"

        sql = _update_sql(connection, model, columns, parameter, stamp, unless_same or {})
        pick = itemgetter(*order)
        return _executemany(connection, sql.format(source=""), model, pick(columns), [pick(row) for row in rows])
    quote = connection.ops.quote_name
    sql = _update_sql(connection, model, columns, lambda column: f"staged.{quote(column)}", stamp, unless_same or {})
    # In the order of the key, so that two writers of the same rows wait in one order.
    staged = _staged(connection, model, columns, rows, versioned=versioned)
    source = f"FROM (SELECT * FROM {staged} ORDER BY {quote(columns[0])}) AS staged"  # noqa: S608  # names, quoted
    same = f" AND {quote(model._meta.db_table)}.{VERSION_SQL} = staged.version" if versioned else ""
    with connection.cursor() as cursor:
        cursor.execute(sql.format(source=source) + same)
        return int(cursor.rowcount)


def _update_sql(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    new: Callable[[str], str],
    stamp: str | None,
    unless_same: Mapping[str, str],
) -> str:
    """The UPDATE, with a place for its `{source}`; `new` gives the SQL of a column's new value."""
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    sets = [f"{quote(stamp)} = {stamp_sql(connection, f'{table}.{quote(stamp)}')}"] if stamp else []
    for column in columns[1:]:
        value, digest = f"{table}.{quote(column)}", unless_same.get(column)
        if digest:
            value = f"CASE WHEN {table}.{quote(digest)} = {new(digest)} THEN {value} ELSE {new(column)} END"
        sets.append(f"{quote(column)} = {value if digest else new(column)}")
    key = quote(columns[0])
    return f"UPDATE {table} SET {', '.join(sets)} {{source}} WHERE {table}.{key} = {new(columns[0])}"  # noqa: S608  # names, quoted


def _staged(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    versioned: bool = False,
) -> str:
    """The name of a temporary table with the rows, which ends with the transaction.

    COPY itself can't update, and is refused under row-level security.
    """
    quote = connection.ops.quote_name
    name = f"staged_{next(_stages)}"
    names = ", ".join(map(quote, columns)) + (", '' AS version" if versioned else "")
    types = [(_field(model, column).db_type(connection) or "").partition("(")[0] for column in columns]
    with connection.cursor() as cursor:
        source = f"SELECT {names} FROM {quote(model._meta.db_table)} WITH NO DATA"  # noqa: S608  # names, quoted
        cursor.execute(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS {source}")
        copying = cursor.copy(f"COPY {name} FROM STDIN (FORMAT BINARY)")
        with connection.wrap_database_errors, copying as copy:  # Django's cursor does not wrap what COPY raises
            copy.set_types([*types, "text"] if versioned else types)
            for row in rows:
                copy.write_row(row)
    return name


def _marks(columns: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(columns))


def _executemany(
    connection: BaseDatabaseWrapper,
    sql: str,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
) -> int:
    fields = [_field(model, name) for name in columns]
    adapters = [(index, adapter) for index, field in enumerate(fields) if (adapter := _adapter(connection, field))]
    with connection.cursor() as cursor:
        cursor.executemany(sql, [_adapted(row, adapters) for row in rows])
        return int(cursor.rowcount)


def _field(model: type[models.Model], name: str) -> "models.Field[Any, Any]":
    return cast("models.Field[Any, Any]", model._meta.pk if name == "pk" else model._meta.get_field(name))


def _adapter(connection: BaseDatabaseWrapper, field: "models.Field[Any, Any]") -> Callable[[Any], Any] | None:
    """How a value of this field is stored where the driver does not know its type; None if it does."""
    stored = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(stored, models.UUIDField):
        return lambda value: value.hex
    if isinstance(stored, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    return None


def _adapted(row: Row, adapters: Sequence[tuple[int, Callable[[Any], Any]]]) -> list[Any]:
    adapted = list(row)
    for index, adapter in adapters:
        if adapted[index] is not None:
            adapted[index] = adapter(adapted[index])
    return adapted
