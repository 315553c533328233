"""Nobody gets, or gives, more than they have (contract, "Managing"): by the API, and where it matters by staff's pages.

Every role and key is tried on every endpoint by ractory/tests/test_permission_matrix.py; here are the ways around it.
"""

import uuid
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from ractory.api.tests.client import Api
from ractory.api.tests.threads import at_once
from tenants.caller import CAPABILITIES, Caller, KeyScope, Role
from tenants.models import ApiKey, Company, User
from tenants.scope import every_company
from tenants.tests.factories import CompanyFactory, UserFactory, issue_key
from tenants.tests.staff import session_of

USERS, KEYS, COMPANIES = "/api/v1/users", "/api/v1/api-keys", "/api/v1/companies"
NEW = {"email": "new@example.com", "password": "a horse in the battery", "role": "Operator"}
NEW_KEY = {"description": "new", "scopes": "sync:read"}

pytestmark = pytest.mark.django_db


def system_admin(**fields: Any) -> User:
    return UserFactory.create(role=Role.SYSTEM_ADMIN, **{"company": None} | fields)


def state_of(user: User) -> tuple[Any, ...]:
    user.refresh_from_db()
    return user.role, user.is_active, user.company_guid, user.email


@pytest.fixture
def admin(company: Company) -> User:
    return UserFactory.create(company=company)


@pytest.fixture
def api(api: Api, admin: User) -> Api:
    """A CompanyAdmin's."""
    return api.with_user(admin)


@pytest.mark.parametrize("role", [Role.SYSTEM_ADMIN, Role.OPERATOR])
def test_nobody_changes_the_own_role(api: Api, admin: User, role: str) -> None:
    before = state_of(admin)
    assert api.patch(f"{USERS}/{admin.guid}", {"role": role}).status_code == 403
    assert api.put(f"{USERS}/{admin.guid}", {"role": role, "name": "me"}).status_code == 403
    root, _other = system_admin(), system_admin()
    assert api.with_user(root).patch(f"{USERS}/{root.guid}", {"role": Role.OPERATOR}).status_code in (403, 422)
    assert state_of(admin) == before
    assert state_of(root)[0] == Role.SYSTEM_ADMIN


def test_nobody_switches_themselves_off(api: Api, admin: User) -> None:
    root, _other = system_admin(), system_admin()
    for who in (admin, root):
        api.with_user(who)
        assert api.delete(f"{USERS}/{who.guid}").status_code == 403
        assert api.patch(f"{USERS}/{who.guid}", {"is_active": False}).status_code == 403
        assert state_of(who)[1]
        assert api.get("/api/v1/auth/me").status_code == 200
    assert not LogEntry.objects.exists()


def test_one_may_change_the_own_name_and_password(api: Api, admin: User) -> None:
    assert api.patch(f"{USERS}/{admin.guid}", {"name": "Anna", "role": admin.role}).status_code == 200
    assert api.patch(f"{USERS}/{admin.guid}", {"password": "a horse in the battery"}).status_code == 200
    assert api.get("/api/v1/auth/me").status_code == 401  # one logs in again


def test_a_company_admin_makes_no_system_admin(api: Api, company: Company) -> None:
    assert api.post(USERS, NEW | {"role": "SystemAdmin"}).status_code == 403
    own = UserFactory.create(company=company, role=Role.OPERATOR)
    for method in (api.patch, api.put):
        assert method(f"{USERS}/{own.guid}", {"role": "SystemAdmin"}).status_code == 403
    assert not User.objects.filter(role=Role.SYSTEM_ADMIN).exists()


def test_a_system_admin_is_out_of_a_company_admin_s_reach_even_in_the_own_company(api: Api, company: Company) -> None:
    above = system_admin(company=company)
    assert str(above.guid) not in api.get(USERS).content.decode()
    for answer in (
        api.get(f"{USERS}/{above.guid}"),
        api.patch(f"{USERS}/{above.guid}", {"password": "a horse in the battery"}),
        api.put(f"{USERS}/{above.guid}", {"is_active": False}),
        api.delete(f"{USERS}/{above.guid}"),
    ):
        assert answer.status_code == 404
    assert state_of(above)[1]


def test_a_company_admin_reaches_nothing_of_another_company(api: Api, other_company: Company) -> None:
    user = UserFactory.create(company=other_company)
    issue_key(other_company)
    key = ApiKey.objects.get()
    for path in (f"{USERS}/{user.guid}", f"{KEYS}/{key.guid}"):
        assert [method(path).status_code for method in (api.get, api.delete)] == [404, 404]
        assert [method(path, {}).status_code for method in (api.put, api.patch)] == [404, 404]
    assert api.post(f"{KEYS}/{key.guid}/rotate", {}).status_code == 404
    assert len(api.get(USERS).json()) == 1
    assert api.get(KEYS).json() == {"api_keys": []}
    for path in (USERS, KEYS, COMPANIES):
        assert api.get(f"{path}?company_guid={other_company.guid}").status_code == 403
    key.refresh_from_db()
    assert key.is_active


def test_a_company_admin_makes_nothing_in_another_company(api: Api, other_company: Company) -> None:
    foreign = {"company_guid": str(other_company.guid)}
    assert api.post(USERS, NEW | foreign).status_code == 403
    assert api.post(KEYS, NEW_KEY | foreign).status_code == 403
    unknown = {"company_guid": str(uuid.uuid4())}  # whether there is one is not told
    assert api.post(USERS, NEW | unknown).status_code == 403
    assert not ApiKey.objects.exists()
    assert User.objects.count() == 1


def test_nobody_moves_a_user_or_a_key_to_another_company(api: Api, company: Company, other_company: Company) -> None:
    user = UserFactory.create(company=company, role=Role.OPERATOR)
    issue_key(company)
    key, foreign = ApiKey.objects.get(), {"company_guid": str(other_company.guid)}
    before = state_of(user)
    for path in (f"{USERS}/{user.guid}", f"{KEYS}/{key.guid}"):
        for method in (api.patch, api.put):
            assert method(path, foreign).status_code == 403
    api.with_user(system_admin())
    for path in (f"{USERS}/{user.guid}", f"{KEYS}/{key.guid}"):
        for wrong in (foreign, {"company_guid": None}):
            answer = api.patch(path, wrong)
            assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "company_fixed")
    key.refresh_from_db()
    assert (state_of(user), key.company_guid) == (before, company.guid)


def test_a_system_admin_who_is_of_no_company_can_t_become_less(api: Api) -> None:
    api.with_user(system_admin())
    other = system_admin()
    answer = api.patch(f"{USERS}/{other.guid}", {"role": "CompanyAdmin"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "company_guid"])


def test_the_last_system_admin_can_not_be_switched_off(api: Api, company: Company) -> None:
    root = system_admin(company=company)
    system_admin(is_active=False)
    system_admin(company=CompanyFactory.create(is_active=False))
    api.with_user(root)
    refused = {"detail": "No active SystemAdmin would be left."}
    for answer in (
        api.delete(f"{USERS}/{root.guid}"),
        api.patch(f"{USERS}/{root.guid}", {"is_active": False}),
        api.patch(f"{USERS}/{root.guid}", {"role": "CompanyAdmin"}),
        api.delete(f"{COMPANIES}/{company.guid}"),
        api.patch(f"{COMPANIES}/{company.guid}", {"is_active": False}),
    ):
        assert (answer.status_code, answer.json()) == (409, refused)
    company.refresh_from_db()
    assert company.is_active
    assert state_of(root)[:2] == (Role.SYSTEM_ADMIN, True)
    assert not LogEntry.objects.exists()
    system_admin()
    assert api.delete(f"{COMPANIES}/{company.guid}").status_code == 204


def test_the_pages_leave_a_system_admin_too(company: Company) -> None:
    root = system_admin(company=company)
    page = session_of(root).post(f"/admin/tenants/company/{company.guid}/change/", {"name": company.name})
    assert page.status_code == 409
    company.refresh_from_db()
    assert company.is_active


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_system_admins_who_switch_each_other_off_at_once_one_is_left() -> None:
    first, second = system_admin(), system_admin()
    clients = [(Api().with_user(first), second), (Api().with_user(second), first)]
    answers = at_once(*(lambda one=one: one[0].delete(f"{USERS}/{one[1].guid}").status_code for one in clients))
    assert sorted(answers) in ([200, 401], [200, 409])
    assert User.objects.filter(is_active=True).count() == 1


@pytest.mark.parametrize("scopes", ["sync:read,admin", "manage", "SystemAdmin", "*", "sync:read\0sync:write"])
def test_a_key_gets_no_scope_that_there_is_not(api: Api, company: Company, scopes: str) -> None:
    issue_key(company, "sync:read")
    key = ApiKey.objects.get()
    assert api.post(KEYS, NEW_KEY | {"scopes": scopes}).status_code == 422
    assert api.patch(f"{KEYS}/{key.guid}", {"scopes": scopes}).status_code == 422
    assert ApiKey.objects.get().scopes == "sync:read"


@pytest.mark.parametrize("scope", KeyScope.values)
def test_no_key_makes_or_widens_keys(company: Company, scope: str) -> None:
    api = Api().with_key(issue_key(company, scope))
    key = ApiKey.objects.get()
    assert api.post(KEYS, NEW_KEY).status_code == 403
    assert api.patch(f"{KEYS}/{key.guid}", {"scopes": "sync:read,sync:write"}).status_code == 403
    assert api.post(f"{KEYS}/{key.guid}/rotate", {}).status_code == 403
    assert api.post(USERS, NEW).status_code == 403
    assert ApiKey.objects.get().scopes == scope


def test_who_grants_has_what_is_granted() -> None:
    def grants(role: Role) -> set[str]:
        caller = Caller(uuid.uuid4(), "test", role, None, CAPABILITIES[role])
        return {held for held in CAPABILITIES if caller.may_grant(held)}

    every = set(CAPABILITIES)
    assert grants(Role.SYSTEM_ADMIN) == every
    assert grants(Role.COMPANY_ADMIN) == every - {"SystemAdmin"}
    assert grants(Role.INTEGRATION) == every - {"SystemAdmin", "CompanyAdmin"}
    assert grants(Role.PROJECT_MANAGER) == {"ProjectManager", "Operator", "sync:read"}
    assert grants(Role.OPERATOR) == {"Operator", "sync:read"}


@pytest.mark.parametrize("kind", ["name", "email"])
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_one_name_or_email_one_is_made(kind: str) -> None:
    path, body = (COMPANIES, {"name": "Twin"}) if kind == "name" else (USERS, NEW | {"role": "SystemAdmin"})
    clients = [Api().with_user(system_admin()) for _ in range(4)]
    answers = at_once(*(lambda client=client: client.post(path, body).status_code for client in clients))
    assert sorted(set(answers) - {429}) == [201, 409]  # 429: a process hashes one password at a time
    with every_company():
        assert Company.objects.count() + User.objects.filter(email=NEW["email"]).count() == 1
