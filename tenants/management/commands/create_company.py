from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.management.printing import PrintingCommand, guid, text
from tenants.models import Company


class Command(PrintingCommand):
    help = "Creates a company (a tenant)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", type=text, metavar="NAME")
        parser.add_argument("--guid", type=guid, help="its GUID; a new one otherwise")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"].strip()
        if not 0 < len(name) <= 255:
            raise CommandError("a company's name has 1 to 255 characters")
        company = Company(name=name)
        if options["guid"]:
            company.guid = options["guid"]
            if Company.objects.filter(guid=company.guid).exists():
                raise CommandError(f"there is a company {company.guid} already")
        company.save(force_insert=True)
        self.answer(options, {"guid": company.guid, "name": company.name})
