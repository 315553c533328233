from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from tenants.management.printing import ListingCommand
from tenants.models import ApiKey


class Command(ListingCommand):
    help = "Lists the API keys, never their text: guid, usable or not, scopes, company, expiry, last use, description."
    name = "api_keys"
    rows = ApiKey.objects.select_related("company").order_by("created_at", "guid")

    def listed(self, rows: Iterable[ApiKey]) -> Iterable[dict[str, Any]]:
        names, now = ("scopes", "company_guid", "expires_at", "last_used_at", "description"), timezone.now()
        for key in rows:
            usable = {"guid": key.guid, "is_usable": key.is_usable(now)}
            yield usable | {name: getattr(key, name) for name in names}
