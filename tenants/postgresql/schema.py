"""Changes of the schema, data migrations among them, see every company.

PostgreSQL checks a new foreign key by a query to which the policies apply: without a scope it would find nothing
wrong, whatever there is.
"""

from contextlib import ExitStack
from typing import Any, Self

from django.db.backends.postgresql.schema import DatabaseSchemaEditor

from tenants.scope import every_company


class SchemaEditor(DatabaseSchemaEditor):
    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(every_company())
            super().__enter__()
            self._scope = stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        with self._scope:
            super().__exit__(*failure)
