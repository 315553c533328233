"""`GET /api/v1/auth/me`: whose credentials these are (contract, "Auth")."""

import pytest
from pytest_django import DjangoAssertNumQueries

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import ApiKey, Company, User
from tenants.tests.factories import UserFactory, issue_key

PATH = "/api/v1/auth/me"

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.SYSTEM_ADMIN])
def test_a_user_learns_who_they_are(api: Api, company: Company, role: str) -> None:
    user = UserFactory.create(role=role, company=company)
    response = api.with_user(user).get(PATH)
    assert response.status_code == 200
    assert response.json() == {
        "guid": str(user.guid),
        "email": user.email,
        "role": role,
        "company_guid": str(company.guid),
        "auth_type": "jwt",
    }


def test_a_system_admin_has_no_company_even_if_one_is_stored(api: Api, company: Company) -> None:
    for home in (None, company):
        me = api.with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=home)).get(PATH).json()
        assert (me["role"], me["company_guid"]) == ("SystemAdmin", None)


@pytest.mark.parametrize(
    ("scopes", "shown"),
    [
        (["sync:write", "sync:read"], "sync:read sync:write"),
        (["sync:read"], "sync:read"),
        (["sync:write"], "sync:write"),
    ],
)
def test_a_key_learns_its_company_and_scopes(api: Api, company: Company, scopes: list[str], shown: str) -> None:
    response = api.with_key(issue_key(company, *scopes)).get(PATH)
    assert response.status_code == 200
    assert response.json() == {
        "guid": str(ApiKey.objects.get().guid),
        "email": None,
        "role": "Integration",
        "company_guid": str(company.guid),
        "auth_type": "api_key",
        "scopes": shown,
    }


def test_without_credentials_it_is_a_401_that_names_both_schemes(api: Api) -> None:
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic YTpi"}, {"Authorization": "rfk_"}):
        response = api.get(PATH, headers=headers)
        assert response.status_code == 401
        assert response.json() == {"detail": "Authentication credentials were not provided."}
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="ractory", ApiKey realm="ractory"'


def test_a_user_costs_one_query(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api.with_user(UserFactory.create())
    User.objects.bulk_create(UserFactory.build_batch(50, company=None, role=Role.SYSTEM_ADMIN))
    with django_assert_num_queries(1):
        assert api.get(PATH).status_code == 200
