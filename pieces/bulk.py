"""Django's `bulk_create` and `bulk_update` in a fixed number of statements: on PostgreSQL by binary `COPY` into a
temporary table, on SQLite by `executemany`."""

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import count
from operator import attrgetter
from typing import Any

from django.db import connection, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from ractory.api.query import in_utc

Row = Sequence[Any]
# Of a row on PostgreSQL: the transaction that wrote it. It is there anyway, so it costs neither a column nor a write.
VERSION_SQL = "xmin::text"

_stages = count()
# As Django's fields store them: SQLite's driver takes no UUIDs, and would write a moment with its offset.
sqlite3.register_adapter(uuid.UUID, attrgetter("hex"))
sqlite3.register_adapter(datetime, lambda moment: str(in_utc(moment).replace(tzinfo=None)))


def database_clock() -> datetime:
    """The time by the clock that all hosts share: on PostgreSQL the database's. SQLite knows one host only."""
    if connection.vendor != "postgresql":
        return timezone.now()
    now: datetime = connection.cursor().execute("SELECT clock_timestamp()").fetchone()[0]
    return now


def stamp_sql(connection: BaseDatabaseWrapper, column: str) -> str:
    """SQL for the `updated_at` of a row that is being updated: the time, and later than what is stored in `column`.
    PostgreSQL computes it before it waits for the row's lock: whoever may have to wait locks first."""
    if connection.vendor == "postgresql":
        return f"GREATEST(clock_timestamp(), {column} + interval '1 microsecond')"
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return f"CASE WHEN {column} < '{now}' THEN '{now}' ELSE django_format_dtdelta('+', {column}, 1) END"


class BulkQuerySet(models.QuerySet[Any]):
    """Takes rows, tuples of the values of the columns that are named beside them; objects are left to Django."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, columns: Sequence[str] = (), **options: Any) -> list[Any]:
        """Inserts them. Raises IntegrityError if one is there already, or breaks another constraint."""
        found = list(objs)
        if not (found and columns):
            return super().bulk_create(found, *args, **options)
        connection, table = self._table()
        quote = connection.ops.quote_name
        into = f"INSERT INTO {table} ({', '.join(map(quote, columns))})"
        if connection.vendor == "postgresql":
            staged, key = self._staged(columns, found), self.model._meta.pk.attname
            order = f" ORDER BY {quote(key)}" if key in columns else ""  # or as they come
            connection.cursor().execute(f"{into} SELECT * FROM {staged}{order}")  # noqa: S608  # names, quoted
        else:
            marks = ", ".join(["%s"] * len(columns))
            connection.cursor().executemany(f"{into} VALUES ({marks})", found)
        return found

    def bulk_update(
        self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None, *, versioned: bool = False
    ) -> int:
        """Sets the fields, and `updated_at` (stamp_sql), where the rows are there; returns the number of these.

        A row begins with its key; its values are in the order of `fields`. Rows are found by their key alone: whether
        they are in this set is for the caller to know. With `versioned` each row ends with the version that the stored
        one must have; one that somebody has written meanwhile stays as it is. On SQLite, where a writing transaction is
        alone, none has. A picture stays where its digest does, and the row need not bring it along then.
        """
        found, names = list(objs), list(fields)
        if not found or isinstance(found[0], models.Model):
            return super().bulk_update(found, names, batch_size)
        connection, table = self._table()
        quote, columns = connection.ops.quote_name, (self.model._meta.pk.attname, *names)
        staged = self._staged(columns, found, versioned=versioned)
        sets = [f"updated_at = {stamp_sql(connection, f'{table}.updated_at')}"]
        for column in names:
            value = f"staged.{quote(column)}"
            if column == "picture":
                same = f"{table}.picture_digest = staged.picture_digest"
                value = f"CASE WHEN {same} THEN {table}.picture ELSE {value} END"
            sets.append(f"{quote(column)} = {value}")
        key = quote(columns[0])
        # In the order of the key, so that two writers of the same rows wait in one order.
        source = f"FROM (SELECT * FROM {staged} ORDER BY {key}) AS staged WHERE {table}.{key} = staged.{key}"  # noqa: S608  # names, quoted
        same_version = f" AND {table}.{VERSION_SQL} = staged.version" if versioned else ""
        done = connection.cursor().execute(f"UPDATE {table} SET {', '.join(sets)} {source}{same_version}")  # noqa: S608  # names, quoted
        if connection.vendor == "sqlite":
            connection.cursor().execute(f"DROP TABLE {staged}")
        return int(done.rowcount)

    def _table(self) -> tuple[BaseDatabaseWrapper, str]:
        connection = connections[self.db]
        return connection, connection.ops.quote_name(self.model._meta.db_table)

    def _staged(self, columns: Sequence[str], rows: Sequence[Row], *, versioned: bool = False) -> str:
        """The name of a temporary table with the rows; on PostgreSQL it ends with the transaction. COPY itself can't
        update, and is refused under row-level security. On SQLite a statement for each row would make ready for the
        table's trigger anew each time, which takes as long as all the rest."""
        connection, table = self._table()
        name, names = f"staged_{next(_stages)}", ", ".join(map(connection.ops.quote_name, columns))
        if connection.vendor == "sqlite":
            connection.cursor().execute(f"CREATE TEMP TABLE {name} AS SELECT {names} FROM {table} WHERE 0")  # noqa: S608
            marks = ", ".join(["%s"] * len(columns))
            connection.cursor().executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608
            return name
        names += ", '' AS version" if versioned else ""
        types = [self.model._meta.get_field(column).db_type(connection).partition("(")[0] for column in columns]
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")  # noqa: S608
            copying = cursor.copy(f"COPY {name} FROM STDIN (FORMAT BINARY)")
            with connection.wrap_database_errors, copying as copy:  # Django's cursor does not wrap what COPY raises
                copy.set_types([*types, "text"] if versioned else types)
                for row in rows:
                    copy.write_row(row)
        return name
