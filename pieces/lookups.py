"""`field__any_of=[…]`: membership in a list of any length, sent as one parameter.

Django's `__in` sends a parameter per value, so its SQL text grows with the list, and on SQLite is cut in slices.
"""

import json
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Lookup
from django.db.models.sql.compiler import SQLCompiler

from tenants.models import GuidForeignKey


@models.UUIDField.register_lookup
@models.CharField.register_lookup
@GuidForeignKey.register_lookup
class AnyOf(Lookup[Any]):
    """`= ANY(array)` on PostgreSQL, `IN (SELECT … FROM json_each(…))` on SQLite."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", [*params, list(self._values())]

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        field = self.lhs.output_field
        values = [field.get_db_prep_value(value, connection) for value in self._values()]
        return f"{column} IN (SELECT value FROM json_each(%s))", [*params, json.dumps(values)]  # noqa: S608  # a column, not input

    def _values(self) -> Iterable[Any]:
        values: Iterable[Any] = self.rhs
        return values
