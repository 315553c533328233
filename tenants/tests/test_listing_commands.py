"""`list_companies`, `list_users`, `list_api_keys`, `deactivate`, `unlock_login`."""

import uuid

import pytest

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import ApiKey, Company, Counter, User
from tenants.tests.commands import Manage
from tenants.tests.factories import PASSWORD, UserFactory, issue_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(company: Company) -> User:
    return UserFactory.create(company=company, role=Role.OPERATOR, email="ola@example.com")


def status_of(key: str) -> int:
    return int(Api().with_key(key).get("/api/v1/auth/me").status_code)


def login(email: str, password: str) -> int:
    return int(Api().post("/api/v1/auth/login", {"email": email, "password": password}).status_code)


def test_companies_are_listed_for_a_person_and_for_a_program(manage: Manage, company: Company) -> None:
    assert manage("list_companies").out.split()[0] == str(company.guid)
    [row] = manage("list_companies", "--json").json["companies"]
    assert (row["guid"], row["name"], row["is_active"]) == (str(company.guid), company.name, True)


def test_users_and_keys_are_those_of_the_company_that_is_named(
    manage: Manage, company: Company, other_company: Company, user: User
) -> None:
    UserFactory.create(company=other_company, role=Role.OPERATOR)
    issue_key(company, description="Saw 1")
    issue_key(other_company)
    assert len(manage("list_users", "--json").json["users"]) == 2
    [shown] = manage("list_users", "--company", company.guid, "--json").json["users"]
    assert (shown["email"], shown["role"]) == ("ola@example.com", "Operator")
    [key] = manage("list_api_keys", "--company", company.guid, "--json").json["api_keys"]
    assert (key["description"], key["is_usable"], key["scopes"]) == ("Saw 1", True, "sync:read sync:write")
    assert not {"key", "digest"} & key.keys()
    assert manage("list_users", "--company", uuid.uuid4()).complaint.startswith("there is no company")


def test_where_there_is_nothing_it_says_so(manage: Manage) -> None:
    assert manage("list_api_keys").out == "There are none.\n"
    assert manage("list_companies", "--json").json == {"companies": []}


def test_a_company_that_is_switched_off_gets_401_with_every_key(manage: Manage, company: Company, key: str) -> None:
    assert status_of(key) == 200
    answer = manage("deactivate", company.guid, "--json").json
    assert answer == {"guid": str(company.guid), "kind": "company", "name": company.name, "is_active": False}
    assert status_of(key) == 401
    assert manage("list_api_keys", "--json").json["api_keys"][0]["is_usable"] is False
    assert ApiKey.objects.get().revoked_at is None


@pytest.mark.parametrize("by", ["guid", "email"])
def test_a_user_who_is_switched_off_can_not_log_in(manage: Manage, user: User, by: str) -> None:
    assert login(user.email, PASSWORD) == 200
    assert manage("deactivate", user.guid if by == "guid" else "Ola@Example.com").code == 0
    assert login(user.email, PASSWORD) == 401


def test_who_does_not_exist_can_not_be_switched_off(manage: Manage) -> None:
    assert (
        manage("deactivate", "nobody@example.com").complaint
        == "there is neither a company nor a user nobody@example.com"
    )


def test_an_account_that_is_locked_can_be_unlocked(manage: Manage, user: User, settings: pytest.FixtureRequest) -> None:
    for name in ("THROTTLE_LOGINS", "THROTTLE_ALL_LOGINS"):
        setattr(settings, name, (2, 900))
    assert [login(user.email, "wrong") for _ in range(3)] == [401, 401, 429]
    assert login(user.email, PASSWORD) == 429
    assert manage("unlock_login", "OLA@example.com").code == 0
    assert not Counter.objects.filter(name__contains="logins of").exists()
    assert login(user.email, PASSWORD) == 200
    assert manage("unlock_login", "nobody@example.com").complaint == "no login is counted for nobody@example.com"


def test_the_last_system_admin_is_not_switched_off(manage: Manage) -> None:
    admin = UserFactory.create(role=Role.SYSTEM_ADMIN)
    assert manage("deactivate", admin.guid).complaint == "No active SystemAdmin would be left."
    UserFactory.create(role=Role.SYSTEM_ADMIN)
    assert manage("deactivate", admin.guid).code == 0
