import uuid
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from pieces.models import Act
from sync.models import Feed
from tenants.management.printing import PrintingCommand


class Command(PrintingCommand):
    help = "Ends all cursors of the change feed, with a 410: run it when a backup has been restored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count only")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        # Those of another PostgreSQL may be greater than the transactions of this one for a long time to come.
        acts = Act.across_companies.filter(position__gt=0)
        if not options["dry_run"]:
            Feed.objects.update_or_create(pk=Feed.KEY, defaults={"identity": uuid.uuid4()})
        self.answer(options, {"acts": acts.count() if options["dry_run"] else acts.update(position=0)})
