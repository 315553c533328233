from typing import Any

from django.core.management.base import CommandError

from pieces.integrity import broken_invariants
from tenants.management.printing import PrintingCommand


class Command(PrintingCommand):
    help = "Counts the rows that break an invariant, in the whole database; exits with 1 if there are any."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = broken_invariants()
        self.answer(options, counts)
        if total := sum(counts.values()):
            raise CommandError(f"{total} rows break an invariant")
