from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from tenants.management.printing import PrintingCommand, guid
from tenants.models import ApiKey


class Command(PrintingCommand):
    help = "Revokes an API key. From then on it gets 401."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", type=guid, metavar="GUID")

    def handle(self, *args: Any, **options: Any) -> None:
        key = ApiKey.objects.filter(guid=options["key"]).first()
        if key is None:
            raise CommandError(f"there is no API key {options['key']}")
        if key.revoked_at is None:
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
        self.answer(options, {"guid": key.guid, "company_guid": key.company_guid, "revoked_at": key.revoked_at})
