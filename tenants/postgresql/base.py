"""Django's PostgreSQL backend, whose statements say for whom they are: without that, the policies show no row.
The scope goes with the statement, in the same message, as a setting that ends with the transaction: so it costs no
round trip, and a pooler may be in between. It is said again when the scope has changed, when a transaction begins, and
after a rollback to a savepoint, which takes the setting back."""

import re
import select
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import psycopg
from django.db.backends.postgresql import base
from psycopg import ClientCursor, IsolationLevel
from psycopg.pq import PipelineStatus, TransactionStatus

from tenants.postgresql.policies import SETTING
from tenants.postgresql.silence import PATIENCE, Connection, Server
from tenants.scope import every_company, setting

# These read and write no rows; some of them can't have another statement before them.
ROWLESS = re.compile(
    r"\s*(SET|RESET|SHOW|BEGIN|START|COMMIT|END|SAVEPOINT|RELEASE|ROLLBACK|VACUUM|REINDEX|(CREATE|DROP)\s+DATABASE"
    r"|CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|DROP\s+INDEX\s+CONCURRENTLY)\b",
    re.IGNORECASE,
)


class _Scoped(psycopg.Cursor[Any]):
    """Makes a psycopg cursor set the scope in its transaction, where it is not set yet."""

    django: "DatabaseWrapper | None" = None  # None: a cursor that is not Django's; it sees no tenant's rows
    shares_message = True  # a statement that sets the scope may stand before another one; before DECLARE it can't

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        # Asked before a SAVEPOINT, too: it may begin a transaction, of which nothing is known.
        scope = self.django.scope_to_set() if self.django else None
        rowless = ROWLESS.match(query) if isinstance(query, str) else None
        if self.django is None or scope is None or rowless:
            if self.django and rowless and rowless[1].upper() == "ROLLBACK":
                self.django.known_scope = None
            return super().execute(query, params, **options)
        pipeline: Any = self.connection.pgconn.pipeline_status
        if not (self.shares_message and isinstance(query, str) and pipeline == PipelineStatus.OFF):
            with self._with_scope():
                return super().execute(query, params, **options)
        with self.django.setting_scope(scope) as statement:
            super().execute(f"{statement}; {query}", params, **options)
        self.nextset()  # from the answer to that statement to the answer to the query
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        with self._with_scope():
            super().executemany(query, params_seq, **options)

    def stream(self, query: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        with self._with_scope():
            yield from super().stream(query, params, **options)

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        with self._with_scope(), super().copy(statement, params, **options) as copy:
            yield copy

    @contextmanager
    def _with_scope(self) -> Iterator[None]:
        """By a statement of its own, in a transaction of its own where there is none."""
        scope = self.django.scope_to_set() if self.django else None
        if self.django is None or scope is None:
            yield
            return
        connection: Any = self.connection
        with connection.transaction() if connection.autocommit else nullcontext():
            with self.django.setting_scope(scope) as statement, ClientCursor(connection) as cursor:
                cursor.execute(statement)
            yield


class Cursor(_Scoped, base.Cursor):
    pass


class ServerSideCursor(_Scoped, base.ServerSideCursor):
    shares_message = False


class DatabaseWrapper(base.DatabaseWrapper):
    known_scope: str | None = ""  # what the setting is in the current transaction; None: unknown
    servers: ClassVar[dict[str, Server]] = {}  # by alias; all threads of this process share what they know

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Django's, of a class that does not wait for a server which hangs."""
        self.isolation_level = IsolationLevel.READ_COMMITTED
        server = self.servers.setdefault(self.alias, Server(self.settings_dict.get("PATIENCE", PATIENCE)))
        with server.tried() as was_silent:
            connection = Connection.connect(**conn_params)
            if was_silent:  # a pooler may have taken the connection, and its server still hang
                connection.look()
        connection.server, connection.parameters = server, conn_params
        connection.cursor_factory = Cursor
        connection.server_cursor_factory = ServerSideCursor  # type: ignore[assignment]  # it is one, beyond the stubs
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        held = {"scrollable": False, "withhold": self.connection.autocommit}
        cursor = self.connection.cursor(name, **held) if name else super().create_cursor()
        cursor.django = self
        return cursor

    def close_if_health_check_failed(self) -> None:
        """Looks whether the server has hung up. Django would ask it, a round trip for each request; a host that is gone
        does not answer that any sooner than the request's own statement."""
        if self.connection is not None and not self.connection.closed:
            said = select.poll()
            said.register(self.connection.fileno(), select.POLLIN)
            if not said.poll(0):
                self.health_check_done = True
        super().close_if_health_check_failed()

    @contextmanager
    def schema_editor(self, *args: Any, **options: Any) -> Iterator[Any]:  # type: ignore[override]  # for `with` only
        """Changes of the schema see every company. PostgreSQL checks a new foreign key by a query to which the policies
        apply: without a scope it would find nothing wrong, whatever there is."""
        with every_company(), super().schema_editor(*args, **options) as editor:
            yield editor

    def scope_to_set(self) -> str | None:
        """What the next statement needs the setting to be; None if it is that, or the transaction is broken anyway."""
        status = self.connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:  # the next statement begins a new one
            self.known_scope = ""
        elif status == TransactionStatus.INERROR:
            return None
        scope = setting()
        return None if scope == self.known_scope else scope

    @contextmanager
    def setting_scope(self, scope: str) -> Iterator[str]:
        """The statement that does it."""
        self.known_scope = None  # should it fail
        yield f"SELECT set_config('{SETTING}', '{scope}', true)"  # a guid, "*" or nothing: there is nothing to quote
        self.known_scope = scope
