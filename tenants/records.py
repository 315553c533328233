"""The record of what was done to companies, users and keys: Django's LogEntry, of the company that it was done to.

Staff's pages write it and show it (*History*); the API writes the same."""

import uuid
from typing import Any

from django.contrib.admin.models import LogEntry

from tenants.models import Company
from tenants.scope import Scope, within


def record(user: uuid.UUID, obj: Any, action: int, message: Any) -> None:
    """In the transaction of the change. `action` is LogEntry's ADDITION or CHANGE; `message`, to a person, what it was,
    or what one of Django's forms says that has changed. Raises 503 while the company is being moved."""
    company = obj.guid if isinstance(obj, Company) else obj.company_guid
    with within(Scope(company)):
        if company is not None:
            Company.require_open(company)
        LogEntry.objects.log_actions(user, [obj], action, message, single_object=True)
