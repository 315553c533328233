import time
from typing import Any

from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from ractory import OLDEST
from tenants.postgresql.guard import OLDEST_APP

LOCK = "SELECT pg_{}(hashtextextended('ractory migrate', 0))"


class Command(migrate.Command):
    """Django's own, which leaves a mark of the oldest version that may serve then. Of several hosts that migrate at
    once, one works; the others ask again and again: waiting in a statement would hold up CREATE INDEX CONCURRENTLY."""

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if options["check_unapplied"] or options["plan"]:
            super().handle(*args, **options)
            return
        is_locked = connection.vendor == "postgresql"
        while is_locked and not connection.cursor().execute(LOCK.format("try_advisory_lock")).fetchone()[0]:
            time.sleep(0.5)
        try:
            super().handle(*args, **options)
            recorder = MigrationRecorder(connection)
            if not options["app_label"] and (OLDEST_APP, OLDEST) not in recorder.applied_migrations():
                recorder.record_applied(OLDEST_APP, OLDEST)
        finally:
            if is_locked and connection.connection and not connection.connection.closed:  # else it is free already
                connection.cursor().execute(LOCK.format("advisory_unlock"))
