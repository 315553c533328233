from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from pieces.purging import Purge
from ractory.api.errors import ConflictRetry
from tenants.management.printing import NOT_REMOVED, PrintingCommand, add_age, age_of, exit_code, guid, scope_of


class Command(PrintingCommand):
    help = "Removes for good what was deleted long ago. It can't be brought back, and its guids are free again."

    def add_arguments(self, parser: CommandParser) -> None:
        add_age(parser)
        parser.add_argument("--company", type=guid, metavar="GUID", help="of this company only")

    def handle(self, *args: Any, **options: Any) -> None:
        purge = Purge(before=timezone.now() - age_of(options), dry_run=options["dry_run"])
        trouble, code = "", 0
        try:
            with scope_of(options["company"]), tqdm(unit=" rows", leave=False, disable=None) as bar:  # on a terminal
                for rows in purge.slices():
                    bar.update(rows)
        except KeyboardInterrupt as stop:
            trouble, code = "stopped", exit_code(stop)
        except ConflictRetry:
            trouble, code = "the rows are busy", 1
        remarks = [NOT_REMOVED] if purge.dry_run else []
        if purge.kept:
            remarks.append("Kept: deletions that took parents of what is active, or was deleted more recently.")
        self.answer(options, {**purge.removed, "kept": len(purge.kept)}, *remarks)
        if trouble:
            raise CommandError(f"{trouble}; run it again to go on", returncode=code)
