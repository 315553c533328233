import time
from typing import Any

from django.core.management.commands import migrate
from django.db import connections

LOCK = "SELECT pg_{}(hashtextextended('ractory migrate', 0))"


class Command(migrate.Command):
    """Django's own; of several hosts that migrate at once, one works and the others wait for it.

    They ask again and again: one that waited within a statement would hold up CREATE INDEX CONCURRENTLY for good.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        only_looks = options["check_unapplied"] or options["plan"]
        if connection.vendor != "postgresql" or only_looks:
            super().handle(*args, **options)
            return
        with connection.cursor() as cursor:
            while True:
                cursor.execute(LOCK.format("try_advisory_lock"))
                if cursor.fetchone() == (True,):
                    break
                time.sleep(0.5)
        try:
            super().handle(*args, **options)
        finally:
            if connection.connection and not connection.connection.closed:  # else it is free already
                with connection.cursor() as cursor:
                    cursor.execute(LOCK.format("advisory_unlock"))
