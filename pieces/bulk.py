"""Writing many rows with a fixed number of statements, whatever their number and width.

PostgreSQL: binary `COPY` into a temporary table, then one `INSERT … SELECT`. SQLite: one `executemany`.
Rows are tuples, in the order of `columns`; which rows to write, and with what, is decided elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

Row = Sequence[Any]


def insert_rows(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Inserts `rows`; IntegrityError if one of them is there already. Within the caller's transaction."""
    _write(model, columns, rows, "")


def upsert_rows(
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    conflict: Sequence[str],
    update: Sequence[str],
    unless_same: Mapping[str, str] | None = None,
) -> None:
    """Inserts `rows`, or updates the columns `update` of those whose `conflict` columns are there already.

    `unless_same` maps a large column to the column of its digest: where the digest stays, the value stays,
    and the row need not bring it along. A clash with any other unique constraint is an IntegrityError.
    """
    quote = connections[router.db_for_write(model)].ops.quote_name
    table = quote(model._meta.db_table)
    sets = []
    for column in map(quote, update):
        value = f"EXCLUDED.{column}"
        digest = (unless_same or {}).get(column.strip('"'))
        if digest:
            same = f"EXCLUDED.{quote(digest)} = {table}.{quote(digest)}"
            value = f"CASE WHEN {same} THEN {table}.{column} ELSE {value} END"
        sets.append(f"{column} = {value}")
    target = ", ".join(map(quote, conflict))
    _write(model, columns, rows, f" ON CONFLICT ({target}) DO UPDATE SET {', '.join(sets)}")


def _write(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], on_conflict: str) -> None:
    if not rows:
        return
    connection = connections[router.db_for_write(model)]
    write = _copy if connection.vendor == "postgresql" else _executemany
    write(connection, model, columns, rows, on_conflict)


def _copy(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    on_conflict: str,
) -> None:
    """Through a temporary table: COPY itself knows no ON CONFLICT, and is refused under row-level security.

    The rows go in by primary key, so that two writers lock common rows in one order.
    """
    quote = connection.ops.quote_name
    table, staging = quote(model._meta.db_table), quote(f"staged_{model._meta.db_table}")
    names = ", ".join(map(quote, columns))
    key = quote(_column(model, "pk").attname)
    types = [(_column(model, name).db_type(connection) or "").partition("(")[0] for name in columns]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE {staging} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")  # noqa: S608
        with cursor.copy(f"COPY {staging} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {staging} ORDER BY {key}{on_conflict}")  # noqa: S608
        cursor.execute(f"DROP TABLE {staging}")


def _executemany(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    on_conflict: str,
) -> None:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    marks = ", ".join(["%s"] * len(columns))
    adapters = [
        (index, adapter)
        for index, name in enumerate(columns)
        if (adapter := _adapter(connection, _column(model, name))) is not None
    ]
    table = quote(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks}){on_conflict}",  # noqa: S608
            [_adapted(row, adapters) for row in rows],
        )


def _column(model: type[models.Model], name: str) -> "models.Field[Any, Any]":
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
