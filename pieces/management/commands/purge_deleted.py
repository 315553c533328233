from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from pieces.purging import Purge
from ractory.api.errors import ConflictRetry
from tenants.management.printing import NOT_REMOVED, STOPPED, PrintingCommand, days, guid, scope_of


class Command(PrintingCommand):
    help = "Removes for good what was deleted long ago. It can't be brought back, and its guids are free again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", type=days, required=True, metavar="DAYS", help="365d; at least 1d")
        parser.add_argument("--company", type=guid, metavar="GUID", help="of this company only")
        parser.add_argument("--dry-run", action="store_true", help="count only")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["older_than"] < timedelta(days=1):
            raise CommandError("--older-than is at least 1d")
        purge = Purge(before=timezone.now() - options["older_than"], dry_run=options["dry_run"])
        trouble, code = "", 0
        try:
            with scope_of(options["company"]), tqdm(unit=" rows", leave=False, disable=None) as bar:  # on a terminal
                for rows in purge.slices():
                    bar.update(rows)
        except KeyboardInterrupt:
            trouble, code = "stopped", STOPPED
        except ConflictRetry:
            trouble, code = "the rows are busy", 1
        remarks = [NOT_REMOVED] if purge.dry_run else []
        if purge.kept:
            remarks.append("Kept: deletions that took parents of what is active, or was deleted more recently.")
        self.answer(options, {**purge.removed, "kept": len(purge.kept)}, *remarks)
        if trouble:
            raise CommandError(f"{trouble}; run it again to go on", returncode=code)
