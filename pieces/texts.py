"""SQL over several text columns at once: for searching them, and for knowing how large they are in an answer."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func
from django.db.models.sql.compiler import SQLCompiler

SEPARATOR = "\1"  # between the columns; a text may contain it, but hardly ever does


class JoinedTexts(Func):
    """The columns as one text, with `SEPARATOR` between them. On SQLite null is the empty text."""

    output_field = models.TextField()
    template = "concat_ws(chr(1), %(expressions)s)"

    def __init__(self, *columns: str) -> None:
        super().__init__(*map(F, columns))

    def as_sqlite(  # type: ignore[override]  # the stubs want no UUIDs or text among parameters
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[Any]]:
        texts = [f"ifnull({compiler.compile(column)[0]}, '')" for column in self.get_source_expressions()]
        return f"({' || char(1) || '.join(texts)})", []


class JsonBytes(Func):
    """How many bytes a text takes in JSON: a control character is six of them."""

    output_field = models.IntegerField()
    template = "octet_length(to_json(%(expressions)s)::text)"

    def as_sqlite(  # type: ignore[override]  # as above
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, list[Any]]:
        template = "length(CAST(json_quote(%(expressions)s) AS BLOB))"
        sql, params = self.as_sql(compiler, connection, template=template)
        return sql, list(params)
