"""The first wall between tenants: a query on a tenant's model outside a scope raises (the idea of django-scopes). The
scope, one company or every one, comes from the caller's credentials, never from the body. It drives the second wall
too: on PostgreSQL, row-level security (tenants.postgresql)."""

import uuid
from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import models


class ScopeMissing(RuntimeError):
    """A tenant's rows were asked for and nobody had said whose."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The companies whose rows may be seen; `company` None means every company."""

    company: uuid.UUID | None

    def covers(self, company: uuid.UUID) -> bool:
        return self.company is None or self.company == company


_current: ContextVar[Scope | None] = ContextVar("tenant_scope", default=None)


def current_scope() -> Scope:
    scope = _current.get()
    if scope is None:
        raise ScopeMissing("No tenant scope: enter company_scope(guid) or every_company() first.")
    return scope


def setting() -> str:
    """The current scope as the setting that the policies read: a company's guid, "*" for every one, "" without any."""
    scope = _current.get()
    return "" if scope is None else str(scope.company or "*")


@contextmanager
def within(scope: Scope | None) -> Iterator[None]:
    """A context, or a decorator, with this scope; with None, without any."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


def company_scope(company: uuid.UUID) -> _GeneratorContextManager[None]:
    """A context, or a decorator, in which only this company's rows exist."""
    return within(Scope(company))


def every_company() -> _GeneratorContextManager[None]:
    """The same for every company's: for operators' commands, SystemAdmins, and finding whose a credential is."""
    return within(Scope(None))


def enter(scope: Scope) -> None:
    """Sets the scope for the rest of the request; StaffMiddleware ends it."""
    _current.set(scope)


def of_company(rows: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
    """Those of the current scope's company. Raises ScopeMissing outside a scope."""
    company = current_scope().company
    if company is None:
        return rows
    return rows.filter(pk=company) if rows.model._meta.model_name == "company" else rows.filter(company=company)


class TenantManager(models.Manager[Any]):
    """Shows the rows of the current scope's company only; companies, users and keys have none."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return of_company(super().get_queryset())
