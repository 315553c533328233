"""Who is calling, and what they may do: the contract's table "Who may do what"."""

import uuid
from dataclasses import dataclass
from enum import StrEnum

from django.db import models
from rest_framework.exceptions import PermissionDenied

from ractory.api.errors import MAX_ECHO
from ractory.api.redaction import cut


class Role(models.TextChoices):
    SYSTEM_ADMIN = "SystemAdmin"
    COMPANY_ADMIN = "CompanyAdmin"
    INTEGRATION = "Integration"
    PROJECT_MANAGER = "ProjectManager"
    OPERATOR = "Operator"


class KeyScope(models.TextChoices):
    SYNC_READ = "sync:read"
    SYNC_WRITE = "sync:write"


def scopes_in(text: str) -> list[str]:
    """The scopes of a list that is separated by commas or white space, sorted. Raises ValueError, for a person."""
    given = set(text.replace(",", " ").split())
    if (unknown := sorted(given - set(KeyScope.values))) or not given:
        said = cut(", ".join(unknown), MAX_ECHO)
        raise ValueError(f"unknown scope {said!r}; known: {', '.join(KeyScope.values)}")
    return sorted(given)


class Capability(StrEnum):
    """The columns of the table."""

    READ = "read"
    DELETE = "delete"  # and restore
    SYNC = "sync"
    MANAGE = "manage"  # users and keys
    MANAGE_COMPANIES = "manage companies"  # who may sees all of them


_DATA = frozenset({Capability.READ, Capability.DELETE, Capability.SYNC})

CAPABILITIES: dict[str, frozenset[Capability]] = {
    Role.SYSTEM_ADMIN: _DATA | {Capability.MANAGE, Capability.MANAGE_COMPANIES},
    Role.COMPANY_ADMIN: _DATA | {Capability.MANAGE},
    Role.INTEGRATION: _DATA,
    Role.PROJECT_MANAGER: frozenset({Capability.READ, Capability.DELETE}),
    Role.OPERATOR: frozenset({Capability.READ}),
    KeyScope.SYNC_WRITE: _DATA,
    KeyScope.SYNC_READ: frozenset({Capability.READ}),
}
# On staff's pages an integration only looks: what it does to data, it does by the API.
CAPABILITIES_AT_DESK = CAPABILITIES | {Role.INTEGRATION: frozenset({Capability.READ})}

# What Django's pages take, by its names for permissions. Other rows may be looked at by all. The rest nobody may do:
# nothing is deleted for good, and what changes data has pages of its own (`StaffAdmin.route`).
_MANAGED = [f"{action}_{model}" for action in ("view", "add", "change") for model in ("user", "apikey", "company")]
_AT_DESK = dict.fromkeys(_MANAGED, Capability.MANAGE) | {"add_company": Capability.MANAGE_COMPANIES}
_AT_DESK |= {"view_deletion": Capability.DELETE, "view_upload": Capability.SYNC}


def needed_at_desk(name: str) -> Capability | None:
    """For "view_piece", say; None for what nobody may do."""
    return _AT_DESK.get(name, Capability.READ if name.startswith("view_") else None)


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

    def may_grant(self, held: str) -> bool:
        """Whether a role or scope is no more than the caller has: nobody grants more than that."""
        return CAPABILITIES[held] <= self.capabilities

    def check_grant(self, *held: str) -> None:
        """Raises 403 for what the caller may not grant."""
        if above := [one for one in held if not self.may_grant(one)]:
            raise PermissionDenied(f"You may not grant {above[0]}: it is more than you have.")
