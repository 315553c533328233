from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from pieces.purging import PLURALS, purge_history
from tenants.management.printing import NOT_REMOVED, PrintingCommand, add_age, age_of, taken


class Command(PrintingCommand):
    help = "Removes what rows were long ago, of all companies. Undo and history reach back no further then."

    def add_arguments(self, parser: CommandParser) -> None:
        add_age(parser, timedelta(days=400), "400d")

    def handle(self, *args: Any, **options: Any) -> None:
        removed = Counter[str](dict.fromkeys(PLURALS, 0))
        steps = purge_history(timezone.now() - age_of(options), removed, dry_run=options["dry_run"])
        trouble = taken(steps, "states")
        self.answer(options, dict(removed), *([NOT_REMOVED] if options["dry_run"] else []))
        if trouble:
            raise trouble
