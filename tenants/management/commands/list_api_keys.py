import uuid
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from tenants.management.printing import ListingCommand, company_of
from tenants.models import ApiKey


class Command(ListingCommand):
    help = "Lists the API keys, never their text: guid, usable or not, scopes, company, expiry, last use, description."
    name = "api_keys"

    def listed(self, company: uuid.UUID | None) -> Iterable[Any]:
        keys, now = ApiKey.objects.select_related("company").order_by("created_at", "guid"), timezone.now()
        for key in keys.filter(company=company_of(company)) if company else keys:
            names = ("scopes", "company_guid", "expires_at", "last_used_at", "description")
            usable = {"guid": key.guid, "is_usable": key.is_usable(now)}
            yield usable | {name: getattr(key, name) for name in names}
