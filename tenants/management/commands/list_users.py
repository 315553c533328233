import uuid
from collections.abc import Iterable
from typing import Any

from tenants.management.printing import ListingCommand, company_of
from tenants.models import User


class Command(ListingCommand):
    help = "Lists the users: guid, whether they are active, role, company, email."
    name = "users"

    def listed(self, company: uuid.UUID | None) -> Iterable[Any]:
        users = User.objects.filter(company=company_of(company)) if company else User.objects.all()
        return users.order_by("email").values("guid", "is_active", "role", "company_guid", "email")
