"""Membership in a list of any length that is sent as one parameter.

Django's `__in` sends a parameter per value, so its SQL text grows with the list, and on SQLite is cut in slices.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models
from django.db.models import F, Func, Lookup

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


class PieceKeyIn(Func):
    """True for the active pieces whose `(project_guid.bytes, piece_id)` is one of `keys`."""

    output_field = models.BooleanField()
    # One look into the index per key, whatever the planner thinks of a young table: it can't turn this into a join.
    postgresql = (
        "%(expressions)s = ANY(ARRAY(SELECT held.guid FROM unnest(%%s::uuid[], %%s::text[]) AS key(project, id) "
        "CROSS JOIN LATERAL (SELECT guid FROM pieces_piece WHERE is_active AND project_guid = key.project "
        "AND piece_id = key.id LIMIT 1) AS held))"
    )
    sqlite = (
        "%(expressions)s IN (SELECT held.guid FROM json_each(%%s) AS key CROSS JOIN pieces_piece AS held "
        "WHERE held.is_active AND held.project_guid = key.value->>0 AND held.piece_id = key.value->>1)"
    )

    def __init__(self, keys: Sequence[PieceKey]) -> None:
        super().__init__(F("guid"))
        self.keys = keys

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        sql, params = self.as_sql(compiler, connection, template=self.postgresql)
        projects, piece_ids = zip(*self.keys, strict=True)
        return sql, [*params, _array(project.hex() for project in projects), list(piece_ids)]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        sql, params = self.as_sql(compiler, connection, template=self.sqlite)
        return sql, [*params, json.dumps([(project.hex(), piece_id) for project, piece_id in self.keys])]


def holders(keys: Iterable[PieceKey]) -> dict[PieceKey, uuid.UUID]:
    """The active pieces that have these keys; the other keys are not in it."""
    wanted = list(dict.fromkeys(keys))
    rows = Piece.objects.filter(PieceKeyIn(wanted)).values_list("project_guid", "piece_id", "guid") if wanted else ()
    return {(project.bytes, piece_id): guid for project, piece_id, guid in rows}
