import sys
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.core.management.base import CommandError, CommandParser
from django.db import Error

from pieces.integrity import broken_invariants
from ractory import garbage_collection
from ractory.api.errors import ConflictRetry
from ractory.api.retry import rehearsal
from ractory.signals import exit_code
from sync.legacy import Migration, old_server
from tenants.management.printing import PrintingCommand, text


class Command(PrintingCommand):
    help = (
        "Takes over companies, users, projects, components, assemblies and pieces from the old server's PostgreSQL, "
        "which is only read and may be running. Run it again to go on after a stop, or to take what has changed since. "
        "Exits with 0 if all is here, 1 if some is not, 2 if it could not be done, 130 after Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", type=text, metavar="URL", help="postgresql://user:password@host:5432/name")
        parser.add_argument("--report", type=text, metavar="FILE", help="what was not taken, and why, as NDJSON")
        parser.add_argument("--dry-run", action="store_true", help="do it all, and take it back at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        where = urlsplit(options["url"])
        garbage_collection.tune()
        try:
            with ExitStack() as stack:
                report = stack.enter_context(open(options["report"], "wb", buffering=0)) if options["report"] else None
                old = stack.enter_context(old_server(options["url"]))
                if options["dry_run"]:
                    stack.enter_context(rehearsal())
                migration = Migration(old, f"old server {where.hostname or ''}{where.path}"[:500], report)
                migration.run()
                broken = sum(broken_invariants().values())
        except KeyboardInterrupt as stop:
            raise CommandError("stopped; run it again to go on", returncode=exit_code(stop)) from None
        except psycopg.Error as error:
            raise CommandError(f"the old server: {str(error).splitlines()[0]}", returncode=2) from error
        except (ConflictRetry, Error) as error:
            raise CommandError(f"the database: {str(error).splitlines()[0]}; run it again", returncode=2) from error
        except OSError as error:
            raise CommandError(f"{options['report']}: {error.strerror}", returncode=2) from error
        result = {**migration.done, "broken_invariants": broken, "dry_run": options["dry_run"]}
        reasons = dict(sorted(migration.reasons.items()))
        remarks = [f"not taken: {number} × {reason}" for reason, number in reasons.items()]
        self.answer(options, result | ({"not_taken": reasons} if options["json"] else {}), *remarks)
        if reasons or broken:
            sys.exit(1)
