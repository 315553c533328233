"""How long PostgreSQL may take for a statement of the server; commands have no such limit.

And how many statements that look at more rows than they show one caller may have running at a time.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from rest_framework.exceptions import Throttled

from ractory.api.errors import Fault, Unprocessable
from ractory.api.retry import sqlstate

CANCELLED = "57014"  # PostgreSQL's code for a statement that ran into statement_timeout


def is_cancelled(error: BaseException) -> bool:
    return sqlstate(error) == CANCELLED


def limit_statements(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Limits a new connection (a receiver of `connection_created`); what is cut off is a 503 (ractory.api.envelope).

    By SET, not as a parameter of the start, which PgBouncer refuses; behind it, its own `connect_query` does it.
    """
    behind_a_pool = connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
    if connection.vendor == "postgresql" and settings.STATEMENT_TIMEOUT and not behind_a_pool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, false), "
                "set_config('idle_in_transaction_session_timeout', %s, false)",
                [f"{settings.STATEMENT_TIMEOUT}s", f"{3 * settings.STATEMENT_TIMEOUT}s"],
            )


def allow_cascade() -> None:
    """Until the transaction ends each statement may take CASCADE_TIMEOUT, if it has a limit at all.

    A deletion writes every row below its root in one statement per level: a project of a million pieces takes minutes.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true) WHERE current_setting('statement_timeout') <> '0'",
                [f"{settings.CASCADE_TIMEOUT}s"],
            )


@contextmanager
def costly_read(alias: str, caller: uuid.UUID, parameter: str) -> Iterator[None]:
    """A transaction for reading what may take PostgreSQL long: it shall not take the server from everyone else.

    A caller has SEARCHES_AT_ONCE of them at a time, counted by advisory locks in that database: over all workers and
    hosts, also behind PgBouncer and on a replica, and freed with the transaction however it ends. Each is one process
    of PostgreSQL's, without parallel workers, for SEARCH_TIMEOUT seconds a statement. Raises Throttled if all are
    taken, and 422 at `parameter` if the time is not enough. On SQLite it does nothing.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        yield
        return
    slots = [f"search {caller} {slot}" for slot in range(settings.SEARCHES_AT_ONCE)]
    tried = " ".join("WHEN pg_try_advisory_xact_lock(hashtextextended(%s, 0)) THEN true" for _ in slots)
    free = f"CASE {tried} ELSE false END" if slots else "true"  # CASE stops at the first one
    try:
        with transaction.atomic(using=alias):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true), "
                    f"set_config('max_parallel_workers_per_gather', '0', true), {free}",
                    [f"{settings.SEARCH_TIMEOUT}s", *slots],
                )
                *_, is_free = cursor.fetchone() or (False,)
            if not is_free:
                many = f"{len(slots)} lists with search, a deep offset, count or an ordering without an index"
                raise Throttled(1, f"This API key or user has {many} running, and may have no more at once.")
            yield
    except OperationalError as error:
        if not is_cancelled(error):
            raise
        msg = f"This takes longer than {settings.SEARCH_TIMEOUT} seconds; narrow it by a parent or an exact filter"
        raise Unprocessable([Fault(("query", parameter), msg, "too_slow")]) from error
