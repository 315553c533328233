"""How long PostgreSQL may take for the server's statements, and how many costly ones a caller may run at a time."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from rest_framework.exceptions import Throttled

from ractory.api.errors import Fault, Unprocessable
from ractory.api.retry import CANCELLED, sqlstate


def limit_statements(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Limits a new connection of the server (a receiver of `connection_created`); commands have no limit. Not as a
    parameter of the start, which PgBouncer refuses; behind it, its own `connect_query` does it."""
    behind_a_pool = connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
    if connection.vendor == "postgresql" and settings.STATEMENT_TIMEOUT and not behind_a_pool:
        connection.cursor().execute(
            "SELECT set_config('statement_timeout', %s, false), "
            "set_config('idle_in_transaction_session_timeout', %s, false)",
            [f"{settings.STATEMENT_TIMEOUT}s", f"{3 * settings.STATEMENT_TIMEOUT}s"],
        )


def allow_cascade() -> None:
    """Until the transaction ends each statement may take CASCADE_TIMEOUT, if it has a limit at all: to delete a project
    of a million pieces, one statement per level, takes minutes."""
    if connection.vendor == "postgresql":
        connection.cursor().execute(
            "SELECT set_config('statement_timeout', %s, true) WHERE current_setting('statement_timeout') <> '0'",
            [f"{settings.CASCADE_TIMEOUT}s"],
        )


@contextmanager
def costly_read(alias: str, caller: uuid.UUID, parameter: str) -> Iterator[None]:
    """A transaction for reading what may take PostgreSQL long, so that others get their share. Nothing on SQLite.
    A caller has SEARCHES_AT_ONCE of them at a time, over all workers and hosts, counted by advisory locks, which end
    with the transaction; a statement has SEARCH_TIMEOUT seconds and no parallel workers. Raises Throttled, or 422 at
    `parameter`."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        yield
        return
    slots = [f"search {caller} {slot}" for slot in range(settings.SEARCHES_AT_ONCE)]
    tried = " ".join("WHEN pg_try_advisory_xact_lock(hashtextextended(%s, 0)) THEN true" for _ in slots)
    free = f"CASE {tried} ELSE false END" if slots else "true"  # CASE stops at the first one
    try:
        with transaction.atomic(using=alias):
            answer = connection.cursor().execute(
                "SELECT set_config('statement_timeout', %s, true), "
                f"set_config('max_parallel_workers_per_gather', '0', true), {free}",
                [f"{settings.SEARCH_TIMEOUT}s", *slots],
            )
            if not answer.fetchone()[-1]:
                many = f"{len(slots)} lists with search, a deep offset, count or an ordering without an index"
                raise Throttled(1, f"This API key or user has {many} running, and may have no more at once.")
            yield
    except OperationalError as error:
        if sqlstate(error) != CANCELLED:
            raise
        msg = f"This takes longer than {settings.SEARCH_TIMEOUT} seconds; narrow it by a parent or an exact filter"
        raise Unprocessable([Fault(("query", parameter), msg, "too_slow")]) from error
