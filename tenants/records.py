"""The record of what was done to companies, users and keys: Django's LogEntry, of the company that it was done to.

Staff's pages write it and show it (*History*); the API writes the same."""

import uuid
from typing import Any

from django.contrib.admin.models import LogEntry

from ractory.api.redaction import redacted
from tenants.models import Company
from tenants.scope import Scope, within


def scope_of(obj: Any) -> Scope:
    return Scope(obj.guid if isinstance(obj, Company) else obj.company_guid)


def record(user: uuid.UUID, obj: Any, action: int, said: str) -> None:
    """In the transaction of the change. `action` is LogEntry's ADDITION or CHANGE; `said`, to a person, what it was."""
    with within(scope_of(obj)):
        LogEntry.objects.log_actions(user, [obj], action, redacted(said), single_object=True)
