from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from tenants.management.printing import PrintingCommand, guid, row_of
from tenants.models import ApiKey


class Command(PrintingCommand):
    help = "Revokes an API key. From then on it gets 401."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", type=guid, metavar="GUID")

    def handle(self, *args: Any, **options: Any) -> None:
        key = row_of(ApiKey.objects.all(), options["key"], "API key")
        if key.revoked_at is None:
            key.revoke(timezone.now())
        self.answer(options, {"guid": key.guid, "company_guid": key.company_guid, "revoked_at": key.revoked_at})
