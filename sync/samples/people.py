"""The made-up company, who works there, and a key: made once, with new secrets each time."""

import uuid

from django.contrib.auth.hashers import make_password
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.text import slugify

from sync.samples.orders import guid
from tenants.caller import KeyScope, Role
from tenants.models import ApiKey, Company, User


def company_called(name: str) -> Company:
    """The sample company of this name. CommandError if the name is none, or that of a company that is no sample."""
    if not 0 < len(name) <= 255:
        raise CommandError("a company's name has 1 to 255 characters")
    its_guid = uuid.UUID(guid("company", name))
    if Company.objects.filter(name=name).exclude(guid=its_guid).exists():
        raise CommandError(f"there is a company {name!r} already, and it is no sample: choose another name")
    return Company.objects.get_or_create(guid=its_guid, defaults={"name": name})[0]


def login(role: Role, password: str, company: Company, email: str = "") -> User:
    """The company's user with this role, who has this password from now on.

    CommandError if another company has a user of this address.
    """
    domain = slugify(company.name)[:40].strip("-") or company.guid.hex[:12]
    email = email or f"{role.lower()}@{domain}.ractory.example"
    own = None if role == Role.SYSTEM_ADMIN else company
    if User.objects.filter(email=email).exclude(company=own, role=role).exists():
        raise CommandError(f"the address {email} is taken: choose another name")
    secret = {"password": make_password(password)}
    return User.objects.update_or_create(secret, {**secret, "role": role, "company": own}, email=email)[0]


def fresh_key(company: Company, description: str) -> str:
    """The text of a new key, good for everything; earlier ones of this description are revoked."""
    company.api_keys.filter(description=description, revoked_at=None).update(revoked_at=timezone.now())
    return ApiKey.issue(company=company, scopes=KeyScope.values, description=description)[1]
