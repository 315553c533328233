"""What the batches of a snapshot named, as the database keeps it: one row a batch, its guids one behind the other.

A row for each guid would take as long to write as an unchanged batch takes in all. The guids are taken apart by the
database, where they are compared: a set may have millions.
"""

import uuid
from collections.abc import Sequence

import orjson
from django.db import connection
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from pieces.models import Entity

Guid = uuid.UUID
# `|| ''` reads a batch as a whole, not anew for each guid. OFFSET 0 keeps PostgreSQL from merging the steps: it would
# take the whole batch along beside each guid.
SEEN_POSTGRESQL = """
    SELECT encode(substr(whole, place, 16), 'hex')::uuid AS guid
    FROM (SELECT guids || '' AS whole FROM sync_seenbatch WHERE snapshot_id = %s::uuid OFFSET 0) AS batch,
        generate_series(1, length(whole), 16) AS place OFFSET 0
"""
SEEN_SQLITE = "SELECT value AS guid FROM sync_seenbatch, json_each(CAST(guids AS TEXT)) WHERE snapshot_id = %s"


def packed(guids: Sequence[Guid]) -> bytes:
    """What SeenBatch keeps: 16 bytes each; on SQLite, which can't take these apart, JSON."""
    if connection.vendor == "sqlite":
        return orjson.dumps([guid.hex for guid in guids])
    return b"".join([guid.bytes for guid in guids])


def unseen(model: type[Entity], snapshot: Guid) -> RawSQL:
    """Whether no batch has named a row of this level."""
    table = model._meta.db_table
    sql = f"NOT EXISTS (SELECT FROM ({SEEN_POSTGRESQL}) AS seen WHERE seen.guid = {table}.guid)"
    if connection.vendor == "sqlite":
        sql = f"{table}.guid NOT IN ({SEEN_SQLITE})"
    return RawSQL(sql, [snapshot.hex], output_field=BooleanField())  # noqa: S611  # the guid is a parameter


def count_seen(snapshot: Guid) -> int:
    """How many rows its batches have named, each once."""
    seen = SEEN_SQLITE if connection.vendor == "sqlite" else SEEN_POSTGRESQL
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM (SELECT DISTINCT guid FROM ({seen}) AS seen) AS named", [snapshot.hex])  # noqa: S608  # no input in it
        return int(cursor.fetchone()[0])
