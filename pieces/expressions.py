"""SQL that Django has no expression for, on both databases; lists of any length are sent as one parameter."""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from django.db import connection, models
from django.db.models import Func, Lookup
from django.db.models.expressions import RawSQL

from pieces.models import Piece
from tenants.models import GuidForeignKey

PieceKey = tuple[bytes, str]  # project_guid.bytes, piece_id


@models.UUIDField.register_lookup
@models.CharField.register_lookup
@GuidForeignKey.register_lookup
class AnyOf(Lookup):
    """`field__any_of=[…]`: one parameter for all values. Django's `__in` sends one for each: its SQL text grows with
    the list, and on SQLite is cut in slices."""

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


class PerDatabase(Func):
    """One template on PostgreSQL, another one on SQLite."""

    on_sqlite: str

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template=self.on_sqlite, **context)


class CommitPosition(PerDatabase):
    """Where an act stands in the order of commits (docs/decisions/0020): on PostgreSQL the transaction's number (see
    `Horizon`); SQLite's only writer counts on."""

    output_field = models.BigIntegerField()
    template = "pg_current_xact_id()::text::bigint"
    on_sqlite = "(SELECT coalesce(max(position), 0) + 1 FROM pieces_act)"


def committed_now() -> str:
    """Which acts are committed, for `CommittedIn`: PostgreSQL's snapshot, `xmin:xmax:…`, or SQLite's last position."""
    on_sqlite = "coalesce(max(position), 0) FROM pieces_act"
    question = f"SELECT {on_sqlite if connection.vendor == 'sqlite' else 'pg_current_snapshot()::text'}"
    return str(connection.cursor().execute(question).fetchone()[0])


def first_after(moment: str) -> int:
    """The least position that an act may have which had not been committed when `committed_now` said so."""
    return int(moment.partition(":")[0])


class CommittedIn(PerDatabase):
    """Whether the act of a position had been committed when `committed_now` said `moment`."""

    output_field = models.BooleanField()
    template = "pg_visible_in_snapshot(%(expressions)s::text::xid8, '%(moment)s'::pg_snapshot)"
    on_sqlite = "%(expressions)s <= %(moment)s"


class Horizon(PerDatabase):
    """The acts below this position are all there will ever be: whatever is committed from now on has a greater one. On
    PostgreSQL it is the lowest number of a transaction that has not ended, as the statement's snapshot sees it. On
    SQLite, where a writer is alone, no act is beyond it."""

    output_field = models.BigIntegerField()
    template = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    on_sqlite = str(2**63 - 1)


class NextPosition(Horizon):
    """All acts are below this position, but those of another PostgreSQL, of which this one has restored a dump."""

    template = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
