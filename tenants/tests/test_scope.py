"""The first wall: no query on a tenant's model without saying whose rows, and none of anyone else's."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pieces.models import LEVELS, Deletion, Entity, Project
from pieces.tests.factories import AssemblyFactory, ComponentFactory, PieceFactory, ProjectFactory
from tenants.admin.middleware import StaffMiddleware
from tenants.models import Company
from tenants.scope import Scope, ScopeMissing, company_scope, current_scope, enter, every_company

FACTORIES: list[Any] = [ProjectFactory, ComponentFactory, AssemblyFactory, PieceFactory]
MANAGERS = [(model, name) for model in LEVELS for name in ("objects", "all_objects")]


@pytest.fixture(autouse=True)
def _bystander() -> None:
    """Instead of every test's: here nobody has said whose rows, until a test does."""


@pytest.mark.parametrize(("model", "name"), [*MANAGERS, (Deletion, "objects")])
@pytest.mark.parametrize(
    "query",
    [
        lambda manager: manager.all(),
        lambda manager: manager.count(),
        lambda manager: manager.filter(pk=None),
        lambda manager: manager.create(),
        lambda manager: manager.update(is_active=False),
        lambda manager: manager.bulk_create([]),
    ],
    ids=["all", "count", "filter", "create", "update", "bulk_create"],
)
def test_a_query_outside_a_scope_raises(model: type[Entity], name: str, query: Callable[[Any], object]) -> None:
    with pytest.raises(ScopeMissing, match="company_scope"):
        query(getattr(model, name))


@pytest.mark.django_db
@pytest.mark.parametrize("factory", FACTORIES)
def test_a_company_s_scope_hides_the_rows_of_others(factory: Any, company: Company, other_company: Company) -> None:
    own, foreign = factory.create(company=company), factory.create(company=other_company)
    model = type(own)
    for manager in (model.objects, model.all_objects):
        with company_scope(company.guid):
            assert [row.guid for row in manager.all()] == [own.guid]
            assert not manager.filter(guid=foreign.guid).exists()
            assert manager.filter(guid=foreign.guid).update(is_active=True) == 0
        with company_scope(other_company.guid):
            assert [row.guid for row in manager.all()] == [foreign.guid]
        with every_company():
            assert {row.guid for row in manager.all()} == {own.guid, foreign.guid}


@pytest.fixture
def company_guid() -> uuid.UUID:
    return Company().guid


def test_scopes_nest_and_end_even_by_an_exception(company_guid: uuid.UUID) -> None:
    with every_company():
        with company_scope(company_guid):
            assert current_scope() == Scope(company_guid)
        assert current_scope() == Scope(None)
        with pytest.raises(ZeroDivisionError), company_scope(company_guid):
            raise ZeroDivisionError
        assert current_scope() == Scope(None)
    with pytest.raises(ScopeMissing):
        current_scope()


def test_a_scope_covers_its_company_or_every_one(company_guid: uuid.UUID) -> None:
    other = Company().guid
    assert Scope(company_guid).covers(company_guid)
    assert not Scope(company_guid).covers(other)
    assert Scope(None).covers(other)


def test_another_thread_has_no_part_in_a_scope(company_guid: uuid.UUID) -> None:
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(current_scope())
        except ScopeMissing as error:
            seen.append(type(error))

    with company_scope(company_guid):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [ScopeMissing]


def test_a_request_starts_without_a_scope_and_leaves_none_behind(company_guid: uuid.UUID) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        with pytest.raises(ScopeMissing):
            current_scope()
        enter(Scope(company_guid))
        assert current_scope() == Scope(company_guid)
        return HttpResponse()

    with every_company():  # left over by whoever
        StaffMiddleware(view)(RequestFactory().get("/"))
        assert current_scope() == Scope(None)
    StaffMiddleware(view)(RequestFactory().get("/"))
    with pytest.raises(ScopeMissing):
        current_scope()


def test_a_request_that_fails_leaves_no_scope_behind(company_guid: uuid.UUID) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        enter(Scope(company_guid))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        StaffMiddleware(view)(RequestFactory().get("/"))
    with pytest.raises(ScopeMissing):
        current_scope()


@pytest.mark.django_db
def test_the_default_manager_is_scoped_too() -> None:
    with pytest.raises(ScopeMissing):
        Project._default_manager.count()
