from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from sync.archives import counts_of, erase, opened
from tenants.management.printing import PrintingCommand, company_of, guid, taken, text


class Command(PrintingCommand):
    help = "Removes all of a company for good, once an archive of export_company holds all of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("company", type=guid, metavar="GUID")
        parser.add_argument("--archive", type=text, metavar="FILE", required=True, help="it is read to its end first")
        parser.add_argument("--yes", action="store_true", help="without it, only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        company, path = company_of(options["company"]), options["archive"]
        if company.moved_to is None:
            raise CommandError("it is open, and rows may be written that the archive has not: move_company --close")
        with opened(path, "nothing was removed") as archive:
            for _ in archive.rows():
                pass
        here = counts_of(company.guid)
        missing = {table: count for table, count in here.items() if count > archive.counts[table]}
        if archive.company != company.guid or missing:
            raise CommandError(f"{path} does not hold all that there is of {company.guid}; nothing was removed")
        result = {"company_guid": company.guid, "rows": here.total(), "removed": options["yes"]}
        if options["yes"]:
            with transaction.atomic():
                company.switch_off()
            if stopped := taken(erase(company.guid), "rows"):
                raise stopped
        self.answer(options, result, *["Nothing was removed: it needs --yes."] * (not options["yes"]))
