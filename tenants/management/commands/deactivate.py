import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from tenants.management.printing import PrintingCommand
from tenants.models import Company, User


class Command(PrintingCommand):
    help = "Switches a company or a user off: from then on keys and logins get 401, and sessions end. Rows stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account", metavar="GUID|EMAIL", help="of a company or a user")

    def handle(self, *args: Any, **options: Any) -> None:
        given: Any = options["account"].lower()
        try:
            given = uuid.UUID(given)
            found = User.objects.filter(guid=given).first() or Company.objects.filter(guid=given).first()
        except ValueError:
            found = User.objects.filter(email=given).first()
        if not found:
            raise CommandError(f"there is neither a company nor a user {given}")
        with transaction.atomic():
            if isinstance(found, User) and found.is_superuser:
                User.objects.require_system_admin(guid=found.guid)
            found.switch_off()
        kind = "user" if isinstance(found, User) else "company"
        self.answer(options, {"guid": found.guid, "kind": kind, "name": str(found), "is_active": False})
