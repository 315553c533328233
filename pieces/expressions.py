"""SQL that Django has no expression for, on both databases."""

from typing import Any

from django.db import models
from django.db.models import Func

SEPARATOR = "\1"  # between the columns; a text may contain it, but hardly ever does


class JoinedTexts(Func):
    """The columns as one text, with `SEPARATOR` between them. On SQLite null is the empty text."""

    output_field = models.TextField()
    template = "concat_ws(chr(1), %(expressions)s)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        texts = [f"ifnull({compiler.compile(column)[0]}, '')" for column in self.get_source_expressions()]
        return f"({' || char(1) || '.join(texts)})", []


class JsonBytes(Func):
    """How many bytes a text takes in JSON: a control character is six of them."""

    output_field = models.IntegerField()
    template = "octet_length(to_json(%(expressions)s)::text)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="length(CAST(json_quote(%(expressions)s) AS BLOB))")


class CommitPosition(Func):
    """Where an act stands in the order of commits (docs/decisions/0020).

    On PostgreSQL the transaction's number: what is below `pg_snapshot_xmin(pg_current_snapshot())` has ended for good.
    SQLite's only writer counts on.
    """

    output_field = models.BigIntegerField()
    template = "pg_current_xact_id()::text::bigint"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        counted = "(SELECT coalesce(max(position), 0) + 1 FROM pieces_act)"
        return super().as_sql(compiler, connection, template=counted, **context)
