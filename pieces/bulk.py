"""Writing many rows with a fixed number of statements, whatever their number and width.

PostgreSQL: binary `COPY` into a temporary table, then one `INSERT` or `UPDATE` from it. SQLite: one `executemany`.
Rows are tuples, in the order of `columns`; which rows to write, and with what, is decided elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, cast

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

Row = Sequence[Any]
STAGED = '"staged"'
PLAIN = ("INSERT INTO", "")


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
        with _staged(connection, model, columns, rows), connection.cursor() as cursor:
            # In the order of the key, so that two writers of the same rows wait in one order.
            key = quote(_field(model, "pk").attname)
            # S608: identifiers of the models, quoted; values are parameters.
            cursor.execute(f"{into} SELECT * FROM {STAGED} ORDER BY {key} {on_conflict}")  # noqa: S608
    else:
        _executemany(connection, f"{into} VALUES ({_marks(columns)}) {on_conflict}", model, columns, rows)


def update_rows(
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    unless_same: Mapping[str, str] | None = None,
) -> int:
    """Sets `columns`, the first of which is the primary key, in the rows that are there; returns their number.

    `unless_same` maps a large column to the column of its digest: where the digest stays, the value stays, and the
    row need not bring it along.
    """
    if not rows:
        return 0
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    table, key = quote(model._meta.db_table), columns[0]
    staged = connection.vendor == "postgresql"
    order: list[int] = []  # of the parameters, where there are any

    def new(column: str) -> str:
        """The new value of the column."""
        if staged:
            return f"{STAGED}.{quote(column)}"
        order.append(columns.index(column))
        return "%s"

    sets = []
    for column in columns[1:]:
        value, digest = f"{table}.{quote(column)}", (unless_same or {}).get(column)
        if digest:
            value = f"CASE WHEN {table}.{quote(digest)} = {new(digest)} THEN {value} ELSE {new(column)} END"
        sets.append(f"{quote(column)} = {value if digest else new(column)}")
    source = f"FROM {STAGED}" if staged else ""
    # S608: identifiers of the models, quoted; values are parameters.
    sql = f"UPDATE {table} SET {', '.join(sets)} {source} WHERE {table}.{quote(key)} = {new(key)}"  # noqa: S608
    if not staged:
        pick = itemgetter(*order)
        return _executemany(connection, sql, model, pick(columns), [pick(row) for row in rows])
    with _staged(connection, model, columns, rows), connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


@contextmanager
def _staged(
    connection: BaseDatabaseWrapper, model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]
) -> Iterator[None]:
    """A temporary table with the rows: COPY itself can't update, and is refused under row-level security."""
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    types = [(_field(model, name).db_type(connection) or "").partition("(")[0] for name in columns]
    with connection.cursor() as cursor:
        # S608: identifiers of the models, quoted; values are parameters.
        source = f"SELECT {names} FROM {quote(model._meta.db_table)} WITH NO DATA"  # noqa: S608
        cursor.execute(f"CREATE TEMP TABLE {STAGED} ON COMMIT DROP AS {source}")
        copying = cursor.copy(f"COPY {STAGED} FROM STDIN (FORMAT BINARY)")
        with connection.wrap_database_errors, copying as copy:  # Django's cursor does not wrap what COPY raises
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        yield
        cursor.execute(f"DROP TABLE {STAGED}")


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
