"""The first wall between tenants: a query on a tenant's model outside a scope raises.

The scope comes from the caller's credentials, never from the body. It is one company, or every one.
The idea is that of pretix's django-scopes.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from django.db import models
from django.http import HttpRequest, HttpResponse


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


@contextmanager
def _scoped(scope: Scope | None) -> Iterator[None]:
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


def company_scope(company: uuid.UUID) -> AbstractContextManager[None]:
    """A context in which only this company's rows exist."""
    return _scoped(Scope(company))


def every_company() -> AbstractContextManager[None]:
    """A context in which every company's rows exist: for operators' commands and SystemAdmins."""
    return _scoped(Scope(None))


def enter(scope: Scope) -> None:
    """Sets the scope for the rest of the request; ScopeMiddleware ends it."""
    _current.set(scope)


M = TypeVar("M", bound=models.Model)


class TenantManager(models.Manager[M]):
    """Shows the rows of the current scope's company only; raises ScopeMissing outside a scope."""

    def get_queryset(self) -> models.QuerySet[M]:
        rows = super().get_queryset()
        company = current_scope().company
        return rows if company is None else rows.filter(company=company)


class ScopeMiddleware:
    """Starts every request without a scope and leaves none behind.

    A staff member's pages in the admin are within their company; API requests enter their scope once the caller
    is known (tenants.views).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with _scoped(_staff_scope(request)):
            return self.get_response(request)


STAFF_COMPANY = "staff_company"  # in the session: the guid of the company that a SystemAdmin has picked


def _staff_scope(request: HttpRequest) -> Scope | None:
    if not (request.path_info.startswith("/admin/") and getattr(request.user, "is_staff", False)):
        return None
    own: uuid.UUID | None = request.user.as_caller().company  # type: ignore[union-attr]  # only our users are staff
    picked = request.session.get(STAFF_COMPANY) if own is None else None
    return Scope(uuid.UUID(picked) if picked else own)
