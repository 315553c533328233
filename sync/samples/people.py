"""Who works at a made-up company, and a key: made once, with new secrets each time."""

from django.contrib.auth.hashers import make_password
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.text import slugify

from tenants.caller import KeyScope, Role
from tenants.models import ApiKey, Company, User


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
