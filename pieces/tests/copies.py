"""Many rows by one statement, for tests and benchmarks that need thousands."""

from django.db import connection

from pieces.models import Deletion, Entity, Piece
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


@every_company()
def mixed_copies(piece: Piece, count: int, **expressions: str) -> None:
    """Copies with ties and nulls in what lists are ordered by, every second one deleted, some in no assembly."""
    Deletion.objects.create(company=piece.company, kind="piece", root_guid=piece.guid, actor="test")
    copies(
        piece,
        count,
        barcode="CASE n %% 3 WHEN 0 THEN NULL WHEN 1 THEN 'ö' ELSE '' || n %% 5 END",
        outer_length="CASE n %% 4 WHEN 0 THEN NULL ELSE n %% 7 - 3 END",
        is_active="n %% 2 = 0",
        deleted_at="CASE n %% 2 WHEN 0 THEN NULL ELSE original.created_at END",
        deletion_guid="CASE n %% 2 WHEN 0 THEN NULL ELSE (SELECT guid FROM pieces_deletion) END",
        assembly_guid="CASE n %% 5 WHEN 0 THEN NULL ELSE original.assembly_guid END",
        **expressions,
    )
