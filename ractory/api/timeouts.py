"""How long PostgreSQL may take for a statement of the server; commands have no such limit."""

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


def limit_statements() -> None:
    """From now on every new connection of this process is limited; what is cut off is a 503 (ractory.api.envelope)."""
    connection_created.connect(_limit)


def _limit(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """By SET, not as a parameter of the start, which PgBouncer refuses; behind it, its own `connect_query` does it."""
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
