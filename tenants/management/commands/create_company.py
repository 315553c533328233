from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from tenants.management.printing import PrintingCommand, guid, text
from tenants.models import Company


class Command(PrintingCommand):
    help = "Creates a company (a tenant)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", type=text, metavar="NAME")
        parser.add_argument("--guid", type=guid, help="its GUID; a new one otherwise")

    def handle(self, *args: Any, **options: Any) -> None:
        given = {"guid": options["guid"]} if options["guid"] else {}
        company = Company(name=options["name"].strip(), **given)
        with transaction.atomic():
            company.full_clean()
            company.save(force_insert=True)
        self.answer(options, {"guid": company.guid, "name": company.name})
