"""Membership in a list of any length that is sent as one parameter.

Django's `__in` sends a parameter per value, so its SQL text grows with the list, and on SQLite is cut in slices.
"""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from django.db import connection, models
from django.db.models import Lookup
from django.db.models.expressions import RawSQL

from pieces.models import Piece
from tenants.models import GuidForeignKey

PieceKey = tuple[bytes, str]  # project_guid.bytes, piece_id


@models.UUIDField.register_lookup
@models.CharField.register_lookup
@GuidForeignKey.register_lookup
class AnyOf(Lookup):
    """`field__any_of=[…]`: `= ANY(array)` on PostgreSQL, `IN (SELECT … FROM json_each(…))` on SQLite."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        if isinstance(self.lhs.output_field, models.UUIDField | GuidForeignKey):
            return f"{column} = ANY(%s::uuid[])", [*params, _array(self.rhs)]
        return f"{column} = ANY(%s)", [*params, list(self.rhs)]

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        values = [self.lhs.output_field.get_db_prep_value(value, connection) for value in self.rhs]
        return f"{column} IN (SELECT value FROM json_each(%s))", [*params, json.dumps(values)]  # noqa: S608  # a column, not input


def _array(guids: Iterable[uuid.UUID | str]) -> str:
    """An array as one string, of which the driver makes a parameter at once; for a list it calls a dumper per value."""
    return f"{{{','.join([guid if isinstance(guid, str) else guid.hex for guid in guids])}}}"


# Whether a piece is an active one with one of these keys.
HAS_KEY_POSTGRESQL = (
    # One look into the index per key, whatever the planner thinks of a young table: it can't turn this into a join.
    "pieces_piece.guid = ANY(ARRAY(SELECT held.guid FROM unnest(%s::uuid[], %s::text[]) AS key(project, id) "
    "CROSS JOIN LATERAL (SELECT guid FROM pieces_piece WHERE is_active AND project_guid = key.project "
    "AND piece_id = key.id LIMIT 1) AS held))"
)
HAS_KEY_SQLITE = (
    "pieces_piece.guid IN (SELECT held.guid FROM json_each(%s) AS key CROSS JOIN pieces_piece AS held "
    "WHERE held.is_active AND held.project_guid = key.value->>0 AND held.piece_id = key.value->>1)"
)


def holders(keys: Iterable[PieceKey]) -> dict[PieceKey, uuid.UUID]:
    """The active pieces that have these keys; the other keys are not in it."""
    wanted = [(project.hex(), piece_id) for project, piece_id in dict.fromkeys(keys)]
    if not wanted:
        return {}
    if connection.vendor == "postgresql":
        projects, piece_ids = zip(*wanted, strict=True)
        sql, params = HAS_KEY_POSTGRESQL, [_array(projects), list(piece_ids)]
    else:
        sql, params = HAS_KEY_SQLITE, [json.dumps(wanted)]
    has_key = RawSQL(sql, params, output_field=models.BooleanField())  # noqa: S611  # the keys are parameters
    rows = Piece.objects.filter(has_key).values_list("project_guid", "piece_id", "guid")
    return {(project.bytes, piece_id): guid for project, piece_id, guid in rows}
