"""Django's PostgreSQL backend, whose statements say for whom they are: without that, the policies show no row.

The scope goes with the statement, in the same message, as a setting that ends with the transaction. So it costs no
round trip, and a pooler may give every transaction another server connection. It is said again when the scope has
changed, when a transaction begins, and after a rollback to a savepoint, which takes the setting back.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends.postgresql import base
from psycopg import ClientCursor, ServerCursor
from psycopg.client_cursor import ClientCursorMixin
from psycopg.pq import PipelineStatus, TransactionStatus

from tenants.postgresql.guard import look_at
from tenants.postgresql.policies import SETTING
from tenants.postgresql.schema import SchemaEditor
from tenants.scope import setting

# These read and write no rows; some of them can't have another statement before them.
ROWLESS = re.compile(
    r"\s*(SET|RESET|SHOW|BEGIN|START|COMMIT|END|SAVEPOINT|RELEASE|ROLLBACK|VACUUM|REINDEX|(CREATE|DROP)\s+DATABASE"
    r"|CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY)\b",
    re.IGNORECASE,
)
ROLLBACK = re.compile(r"\s*ROLLBACK\b", re.IGNORECASE)

if TYPE_CHECKING:  # what the mixin is mixed into
    _AnyCursor = psycopg.Cursor[Any]
else:
    _AnyCursor = object


class _Scoped(_AnyCursor):
    """Makes a psycopg cursor tell its transaction the scope, where that has not been told yet."""

    django: "DatabaseWrapper | None" = None  # None: a cursor that is not Django's; it sees no tenant's rows

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if self.django is None or (isinstance(query, str) and ROWLESS.match(query)):
            if self.django is not None:
                self.django.untold()  # a SAVEPOINT may begin a transaction, which then knows nothing
                if ROLLBACK.match(query):
                    self.django.told = None
            return super().execute(query, params, **options)
        if not self._fits_one_message(query):
            with self._told():
                return super().execute(query, params, **options)
        whose = self.django.untold()
        if whose is None:
            return super().execute(query, params, **options)
        with self.django.telling(whose) as said:
            super().execute(f"{said}; {query}", params, **options)
        self.nextset()  # from what was said to what was asked
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        with self._told():
            super().executemany(query, params_seq, **options)

    def stream(self, query: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        with self._told():
            yield from super().stream(query, params, **options)

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        with self._told(), super().copy(statement, params, **options) as copy:
            yield copy

    def _fits_one_message(self, query: Any) -> bool:
        pipeline: Any = self.connection.pgconn.pipeline_status
        return isinstance(query, str) and pipeline == PipelineStatus.OFF

    @contextmanager
    def _told(self) -> Iterator[None]:
        """By a statement of its own, in a transaction of its own where there is none."""
        whose = self.django.untold() if self.django else None
        if whose is None or self.django is None:
            yield
            return
        connection: Any = self.connection
        with connection.transaction() if connection.autocommit else nullcontext():
            with self.django.telling(whose) as said, ClientCursor(connection) as cursor:
                cursor.execute(said)
            yield


class Cursor(_Scoped, base.Cursor):
    pass


class ServerSideCursor(_Scoped, base.CursorMixin, ClientCursorMixin[Any, Any], ServerCursor[Any]):
    """A named cursor, as Django's: DECLARE can't share its message."""

    def _fits_one_message(self, query: Any) -> bool:
        return False


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = SchemaEditor
    told: str | None = ""  # what the current transaction knows of the scope; None: who knows

    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    def init_connection_state(self) -> None:
        super().init_connection_state()
        try:
            look_at(self)
        except BaseException:
            self.close()  # or the next one would find it open
            raise

    def create_cursor(self, name: str | None = None) -> Any:
        if name:
            held = self.connection.autocommit
            cursor: Any = ServerSideCursor(self.connection, name=name, scrollable=False, withhold=held)
        else:
            cursor = super().create_cursor()
        cursor.django = self
        return cursor

    def untold(self) -> str | None:
        """What the transaction has to be told before the next statement; None if it knows, or is broken anyway."""
        status = self.connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:  # the next statement begins a new one
            self.told = ""
        elif status == TransactionStatus.INERROR:
            return None
        whose = setting()
        return None if whose == self.told else whose

    @contextmanager
    def telling(self, whose: str) -> Iterator[str]:
        """The statement that tells it."""
        self.told = None  # should it fail
        yield f"SELECT set_config('{SETTING}', '{whose}', true)"  # a guid, "*" or nothing: there is nothing to quote
        self.told = whose
