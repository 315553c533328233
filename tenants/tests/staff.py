"""Staff members for tests of the admin: a browser's session without a browser."""

import html
import re
from typing import Any

from django.test import Client

from tenants.caller import Role
from tenants.models import Company, User
from tenants.tests.factories import UserFactory

TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL)


def session_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def admin_of(company: Company, **fields: Any) -> Client:
    """A CompanyAdmin of this company."""
    return session_of(UserFactory.create(company=company, role=Role.COMPANY_ADMIN, **fields))


def system_admin() -> Client:
    return session_of(UserFactory.create(company=None, role=Role.SYSTEM_ADMIN))


def text_of(response: Any) -> str:
    """What a person reads on the page, its white space folded."""
    assert response.status_code == 200, response
    return " ".join(html.unescape(TAGS.sub(" ", response.content.decode())).split())
