from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.caller import KeyScope
from tenants.management.commands._printing import PrintingCommand, company_of, guid, text
from tenants.models import ApiKey


def scopes(text: str) -> list[str]:
    given = text.replace(",", " ").split()
    unknown = sorted(set(given) - set(KeyScope.values))
    if unknown or not given:
        raise ArgumentTypeError(f"unknown scope {', '.join(unknown)!r}; known: {', '.join(KeyScope.values)}")
    return given


def moment(text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"not an ISO 8601 date or time: {text!r}") from error


class Command(PrintingCommand):
    help = "Creates an API key for a company and shows it, the only time that it can be seen."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--company", type=guid, metavar="GUID", required=True)
        parser.add_argument("--scopes", type=scopes, required=True, help="sync:read,sync:write")
        parser.add_argument("--description", type=text, default="")
        parser.add_argument("--expires", type=moment, metavar="DATE", help="ISO 8601; a bare date means 00:00 UTC")

    def handle(self, *args: Any, **options: Any) -> None:
        if len(options["description"]) > 255:
            raise CommandError("a key's description has at most 255 characters")
        key, text = ApiKey.issue(
            company=company_of(options["company"]),
            scopes=options["scopes"],
            description=options["description"],
            expires_at=options["expires"],
        )
        result = {"guid": key.guid, "key": text, "scopes": key.scopes, "company_guid": key.company_guid}
        self.answer(options, result, "Keep the key: it is not stored and can't be shown again.")
