"""Whose rows a request sees, and who may do what: the contract's table "Who may do what", cell by cell."""

import uuid
from typing import Any

import pytest
from django.urls import path
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pieces.models import Project
from pieces.tests.factories import ProjectFactory
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.permissions import MayDelete, MayRead, MaySync
from tenants.scope import ScopeMissing, current_scope, within
from tenants.tests.factories import UserFactory, issue_key
from tenants.views import TenantView

handler404 = "ractory.api.envelope.not_found"


class ProjectsView(TenantView):
    permission_classes: tuple[type[BasePermission], ...] = (MayRead,)

    def get(self, request: Request) -> Response:
        return Response([project.guid for project in Project.objects.all()])


class DeletingView(ProjectsView):
    permission_classes = (MayDelete,)


class SyncingView(ProjectsView):
    permission_classes = (MaySync,)


class ForgetfulView(APIView):
    """Says nothing about who may use it."""

    def get(self, request: Request) -> Response:
        return Response("open")


urlpatterns = [
    path("api/read", ProjectsView.as_view()),
    path("api/delete", DeletingView.as_view()),
    path("api/sync", SyncingView.as_view()),
    path("api/forgetful", ForgetfulView.as_view()),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

TABLE = {  # read, delete, sync
    "SystemAdmin": (200, 200, 200),
    "CompanyAdmin": (200, 200, 200),
    "Integration": (200, 200, 200),
    "ProjectManager": (200, 200, 403),
    "Operator": (200, 403, 403),
    "sync:write": (200, 200, 200),
    "sync:read": (200, 403, 403),
    "sync:read sync:write": (200, 200, 200),
}


def sign_in(api: Api, who: str, company: Company) -> Api:
    if who in Role.values:
        return api.with_user(UserFactory.create(role=who, company=company))
    return api.with_key(issue_key(company, *who.split()))


@pytest.mark.parametrize("who", TABLE)
def test_each_role_and_key_may_do_what_the_table_says(api: Api, company: Company, who: str) -> None:
    sign_in(api, who, company)
    answers = [api.get(f"/api/{what}") for what in ("read", "delete", "sync")]
    assert tuple(answer.status_code for answer in answers) == TABLE[who]
    for answer in answers:
        if answer.status_code == 403:
            assert answer.json() == {"detail": "Your role or the key's scopes do not allow this."}


def test_without_credentials_it_is_a_401_and_not_a_403(api: Api) -> None:
    for what in ("read", "delete", "sync", "forgetful"):
        response = api.get(f"/api/{what}")
        assert response.status_code == 401
        assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize("who", TABLE)
def test_an_endpoint_that_names_no_permission_is_closed_to_all(api: Api, company: Company, who: str) -> None:
    assert sign_in(api, who, company).get("/api/forgetful").status_code == 403


@pytest.fixture
def rows(company: Company, other_company: Company) -> dict[str, Company]:
    """A project of each of two companies, by its guid."""
    return {str(ProjectFactory.create(company=owner).guid): owner for owner in (company, other_company)}


def seen(response: Any) -> set[str]:
    assert response.status_code == 200
    return set(response.json())


@pytest.mark.parametrize("who", [who for who in TABLE if who != "SystemAdmin"])
def test_everyone_but_a_system_admin_sees_their_own_company(
    api: Api, company: Company, other_company: Company, rows: dict[str, Company], who: str
) -> None:
    sign_in(api, who, company)
    own = {guid for guid, owner in rows.items() if owner == company}
    assert seen(api.get("/api/read")) == seen(api.get(f"/api/read?company_guid={company.guid}")) == own
    for foreign in (other_company.guid, uuid.uuid4()):
        response = api.get(f"/api/read?company_guid={foreign}")
        assert response.status_code == 403
        assert response.json() == {"detail": f"Company {foreign} is not yours."}


def test_a_system_admin_sees_every_company_or_the_one_named(
    api: Api, company: Company, rows: dict[str, Company]
) -> None:
    sign_in(api, "SystemAdmin", company)
    assert seen(api.get("/api/read")) == set(rows)
    for guid, owner in rows.items():
        assert seen(api.get(f"/api/read?company_guid={owner.guid}")) == {guid}
    unknown = uuid.uuid4()
    response = api.get(f"/api/read?company_guid={unknown}")
    assert (response.status_code, response.json()) == (404, {"detail": f"Company {unknown} not found."})


@pytest.mark.parametrize("who", ["SystemAdmin", "Operator"])
@pytest.mark.parametrize("value", ["", "5", "null", "%00", "%ED%A0%80", "x" * 3000])
def test_a_company_guid_that_is_none_is_a_422(api: Api, company: Company, who: str, value: str) -> None:
    response = sign_in(api, who, company).get(f"/api/read?company_guid={value}")
    assert response.status_code == 422
    (fault,) = response.json()["detail"]
    assert (fault["loc"], fault["type"]) == (["query", "company_guid"], "uuid_parsing")
    assert len(fault["msg"]) < 300


def test_a_request_leaves_no_scope_behind(api: Api, company: Company) -> None:
    sign_in(api, "Operator", company)
    with within(None):
        assert api.get("/api/read").status_code == 200
        with pytest.raises(ScopeMissing):
            current_scope()
