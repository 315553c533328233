from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

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
        given = {"guid": options["guid"]} if options["guid"] else {}
        if given and Company.objects.filter(**given).exists():
            raise CommandError(f"there is a company {options['guid']} already")
        company = Company(name=name, **given)
        with transaction.atomic():
            if company.is_name_taken():
                raise CommandError(f"there is a company {name!r} already")
            company.save(force_insert=True)
        self.answer(options, {"guid": company.guid, "name": company.name})
