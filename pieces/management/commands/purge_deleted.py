from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from pieces.purging import Purge
from tenants.management.printing import NOT_REMOVED, PrintingCommand, add_age, age_of, guid, scope_of, taken


class Command(PrintingCommand):
    help = "Removes for good what was deleted long ago. It can't be brought back, and its guids are free again."

    def add_arguments(self, parser: CommandParser) -> None:
        add_age(parser)
        parser.add_argument("--company", type=guid, metavar="GUID", help="of this company only")

    def handle(self, *args: Any, **options: Any) -> None:
        purge = Purge(before=timezone.now() - age_of(options), dry_run=options["dry_run"])
        with scope_of(options["company"]):
            trouble = taken(purge.slices(), "rows")
        remarks = [NOT_REMOVED] if purge.dry_run else []
        if purge.kept:
            remarks.append("Kept: deletions that took parents of what is active, or was deleted more recently.")
        self.answer(options, {**purge.removed, "kept": len(purge.kept)}, *remarks)
        if trouble:
            raise trouble
