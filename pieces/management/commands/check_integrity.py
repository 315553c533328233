from typing import Any

from django.core.management.base import CommandError, CommandParser

from pieces.integrity import broken_rows
from tenants.management.printing import PrintingCommand, whole


class Command(PrintingCommand):
    help = "Counts the rows that break an invariant, in the whole database; exits with 1 if there are any."

    def add_arguments(self, parser: CommandParser) -> None:
        help = "name the first N rows of each, 100 unless told"
        parser.add_argument("--rows", type=whole(1, 100_000), nargs="?", const=100, default=0, metavar="N", help=help)

    def handle(self, *args: Any, **options: Any) -> None:
        broken = broken_rows(options["rows"])
        counts = {name: count for name, (count, _) in broken.items()}
        rows = {name: guids for name, (_, guids) in broken.items() if guids}
        lines = [f"{name}  {guid}" for name, guids in rows.items() for guid in guids]
        result: dict[str, Any] = {**counts, "rows": rows} if options["json"] and options["rows"] else counts
        self.answer(options, result, *lines)
        if total := sum(counts.values()):
            raise CommandError(f"{total} rows break an invariant")
