from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from tenants.management.printing import KEEP_KEY, PrintingCommand, duration, future, guid, row_of
from tenants.models import ApiKey


class Command(PrintingCommand):
    help = "Makes a key that takes the place of another one, and shows it, the only time that it can be seen."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", type=guid, metavar="GUID")
        help = "how long the old key stays good: 90m, 24h, 7d; 0 revokes it"
        parser.add_argument("--overlap", type=duration, default=timedelta(days=1), metavar="DURATION", help=help)
        help = "when the new key expires; as the old one does otherwise"
        parser.add_argument("--expires", type=future, metavar="DATE", help=help)

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        with transaction.atomic():
            # Locked: of two rotations at once, the second finds the key as the first left it.
            locked = ApiKey.objects.select_for_update(of=("self",)).select_related("company")
            old = row_of(locked, options["key"], "API key")
            if not old.is_usable(timezone.now()):
                raise CommandError(f"API key {old.guid} is revoked, expired or of an inactive company")
            new, text = old.rotate(overlap=options["overlap"], expires_at=options["expires"] or old.lifetime, now=now)
        key = {"guid": new.guid, "key": text, "scopes": new.scopes, "company_guid": new.company_guid}
        until = {"expires_at": new.expires_at, "replaces": old.guid, "replaced_until": old.revoked_at or old.expires_at}
        self.answer(options, key | until, KEEP_KEY)
