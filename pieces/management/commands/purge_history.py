from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from pieces.models import LEVELS
from pieces.purging import purge_history
from ractory.api.errors import ConflictRetry
from tenants.management.printing import NOT_REMOVED, STOPPED, PrintingCommand, days


class Command(PrintingCommand):
    help = "Removes what rows were long ago, of all companies. Undo and history reach back no further then."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", type=days, default=timedelta(days=400), metavar="DAYS", help="400d")
        parser.add_argument("--dry-run", action="store_true", help="count only")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["older_than"] < timedelta(days=1):
            raise CommandError("--older-than is at least 1d")
        removed = Counter[str](dict.fromkeys((level.plural for level in LEVELS), 0))
        before, trouble, code = timezone.now() - options["older_than"], "", 0
        try:
            with tqdm(unit=" states", leave=False, disable=None) as bar:  # on a terminal
                for plural, states in purge_history(before, dry_run=options["dry_run"]):
                    removed[plural] += states
                    bar.update(states)
        except KeyboardInterrupt:
            trouble, code = "stopped", STOPPED
        except ConflictRetry:
            trouble, code = "the database is busy", 1
        self.answer(options, dict(removed), *([NOT_REMOVED] if options["dry_run"] else []))
        if trouble:
            raise CommandError(f"{trouble}; run it again to go on", returncode=code)
