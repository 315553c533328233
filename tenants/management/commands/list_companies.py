import uuid
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from tenants.management.printing import ListingCommand
from tenants.models import Company


class Command(ListingCommand):
    help = "Lists the companies: guid, whether it is active, when it was made, name."
    name = "companies"

    def add_arguments(self, parser: CommandParser) -> None:
        """None."""

    def listed(self, company: uuid.UUID | None) -> Iterable[Any]:
        return Company.objects.order_by("created_at", "guid").values("guid", "is_active", "created_at", "name")
