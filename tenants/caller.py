"""Who is calling, and what they may do: the contract's table "Who may do what", as data."""

import uuid
from dataclasses import dataclass
from enum import StrEnum

from django.db import models


class Role(models.TextChoices):
    SYSTEM_ADMIN = "SystemAdmin"
    COMPANY_ADMIN = "CompanyAdmin"
    INTEGRATION = "Integration"
    PROJECT_MANAGER = "ProjectManager"
    OPERATOR = "Operator"


class KeyScope(models.TextChoices):
    SYNC_READ = "sync:read"
    SYNC_WRITE = "sync:write"


class Capability(StrEnum):
    """The columns of the table."""

    READ = "read"
    DELETE = "delete"  # and restore
    SYNC = "sync"
    MANAGE = "manage"  # users and keys


_DATA = frozenset({Capability.READ, Capability.DELETE, Capability.SYNC})

CAPABILITIES: dict[str, frozenset[Capability]] = {
    Role.SYSTEM_ADMIN: _DATA | {Capability.MANAGE},
    Role.COMPANY_ADMIN: _DATA | {Capability.MANAGE},
    Role.INTEGRATION: _DATA,
    Role.PROJECT_MANAGER: frozenset({Capability.READ, Capability.DELETE}),
    Role.OPERATOR: frozenset({Capability.READ}),
    KeyScope.SYNC_WRITE: _DATA,
    KeyScope.SYNC_READ: frozenset({Capability.READ}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user or API key; what DRF knows as `request.user`."""

    guid: uuid.UUID
    actor: str  # for records: "user:anna@example.com" or "api_key:<guid>"
    role: Role
    company: uuid.UUID | None  # its guid; None only for a SystemAdmin, who sees every company
    capabilities: frozenset[Capability]
    email: str | None = None
    scopes: str | None = None  # of a key: "sync:read sync:write"

    is_authenticated = True
