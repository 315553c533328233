from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from pieces.models import LEVELS
from pieces.purging import purge_history
from ractory.api.errors import ConflictRetry
from tenants.management.printing import NOT_REMOVED, PrintingCommand, add_age, age_of, exit_code


class Command(PrintingCommand):
    help = "Removes what rows were long ago, of all companies. Undo and history reach back no further then."

    def add_arguments(self, parser: CommandParser) -> None:
        add_age(parser, timedelta(days=400), "400d")

    def handle(self, *args: Any, **options: Any) -> None:
        removed = Counter[str](dict.fromkeys((level.plural for level in LEVELS), 0))
        before, trouble, code = timezone.now() - age_of(options), "", 0
        try:
            with tqdm(unit=" states", leave=False, disable=None) as bar:  # on a terminal
                for plural, states in purge_history(before, dry_run=options["dry_run"]):
                    removed[plural] += states
                    bar.update(states)
        except KeyboardInterrupt as stop:
            trouble, code = "stopped", exit_code(stop)
        except ConflictRetry:
            trouble, code = "the database is busy", 1
        self.answer(options, dict(removed), *([NOT_REMOVED] if options["dry_run"] else []))
        if trouble:
            raise CommandError(f"{trouble}; run it again to go on", returncode=code)
