from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from pieces.integrity import broken_invariants
from sync.archives import BadArchive, opened, take_in
from tenants.management.printing import PrintingCommand, taken, text
from tenants.models import Company
from tenants.scope import company_scope


class Command(PrintingCommand):
    help = "Takes a company over from an archive of export_company: all of it in one transaction, or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=text, metavar="FILE", help="gzip if it ends in .gz")

    def handle(self, *args: Any, **options: Any) -> None:
        with opened(options["file"], "nothing was written") as archive, transaction.atomic():
            if Company.objects.filter(guid=archive.company).exists():
                raise BadArchive(f"the company {archive.company} is here already")
            if stopped := taken(take_in(archive), "rows"):
                raise stopped
            with company_scope(archive.company):
                if broken := [name for name, count in broken_invariants().items() if count]:
                    raise BadArchive(f"its rows break {', '.join(broken)}")
        self.answer(options, {"company_guid": archive.company, "rows": archive.counts.total()})
