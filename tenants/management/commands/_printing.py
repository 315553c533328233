"""How this project's commands take and give: GUIDs as arguments, lines for a person or one JSON object."""

import json
import uuid
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.models import Company


def guid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not a UUID: {text!r}") from error


def company_of(company_guid: uuid.UUID) -> Company:
    company = Company.objects.filter(guid=company_guid).first()
    if company is None:
        raise CommandError(f"there is no company {company_guid}")
    return company


class PrintingCommand(BaseCommand):
    """A command that prints a person's lines, or with `--json` one JSON object."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def answer(self, options: dict[str, Any], result: dict[str, Any], *remarks: str) -> None:
        """Prints `result` and, to a person only, remarks below it."""
        if options["json"]:
            self.stdout.write(json.dumps(result, default=str))
            return
        width = max(map(len, result))
        for name, value in result.items():
            self.stdout.write(f"{name:{width}}  {'-' if value is None else value}")
        for remark in remarks:
            self.stdout.write(remark)
