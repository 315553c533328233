from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from tenants.management.printing import WRONG_USE, PrintingCommand, guid, row_of
from tenants.models import Company


class Command(PrintingCommand):
    help = (
        "Closes a company for its move to another server: its writes get 503 until it is open again or has moved. Then "
        "its callers get 308 to the new address. See docs/operations.md for the steps between."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("company", type=guid, metavar="GUID")
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--close", action="store_true", help="answer writes with 503; returns once all are in")
        where.add_argument("--to", metavar="URL", help="it has moved: the new server's address, without a path")
        where.add_argument("--open", action="store_true", help="it is not to be moved, or is back")

    def handle(self, *args: Any, **options: Any) -> None:
        url = (options["to"] or "").rstrip("/")
        parts = urlsplit(url)
        if url and not (parts.scheme in ("http", "https") and parts.netloc and not parts.path and len(url) <= 200):
            raise CommandError(f"not an address: {url!r}", returncode=WRONG_USE)
        with transaction.atomic():
            # Waits for those who are writing: they hold the row (Company.require_open).
            company = row_of(Company.objects.select_for_update(), options["company"], "company")
            if url and company.moved_to is None:
                raise CommandError("it is open: close it, export it and import it there first")
            company.moved_to = None if options["open"] else url
            company.save(update_fields=["moved_to"])
        state = "open" if options["open"] else f"moved to {url}" if url else "closed"
        self.answer(options, {"company_guid": company.guid, "state": state})
