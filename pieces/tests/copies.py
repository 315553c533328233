"""Many rows by one statement, for tests and benchmarks that need thousands."""

from django.db import connection

from pieces.models import Entity
from tenants.scope import every_company

POSTGRESQL = "generate_series(1, %s) AS numbers(n)"
SQLITE = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %s) SELECT n FROM c) AS numbers"


@every_company()
def copies(row: Entity, count: int, **expressions: str) -> None:
    """Inserts `count` copies of `row`, each with a random guid.

    `expressions` are SQL for other columns; in them `n` counts the copies from 1. Copies of a piece get the
    piece_ids "copy-1", "copy-2" and so on, unless told.
    """
    on_postgresql = connection.vendor == "postgresql"
    columns = {str(field.column): f"original.{field.column}" for field in row._meta.concrete_fields}
    columns["guid"] = "gen_random_uuid()" if on_postgresql else "lower(hex(randomblob(16)))"
    if "piece_id" in columns:
        columns["piece_id"] = "'copy-' || n"
    columns |= expressions
    table = row._meta.db_table
    guid = row._meta.pk.get_db_prep_value(row.guid, connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "  # noqa: S608  # our own names
            f"FROM {table} AS original, {POSTGRESQL if on_postgresql else SQLITE} WHERE original.guid = %s",
            [count, guid],
        )
