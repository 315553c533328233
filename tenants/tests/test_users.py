"""`/api/v1/users` (contract, "Managing"). Who may not do what is in test_escalation.py."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import override_settings

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company, User
from tenants.tests.factories import PASSWORD, UserFactory
from tenants.tests.staff import session_of, text_of

PATH, LOGIN = "/api/v1/users", "/api/v1/auth/login"
NEW_PASSWORD = "a horse in the battery"
NEW = {"email": "Berta@Example.com", "password": NEW_PASSWORD, "role": "Operator"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(company: Company) -> User:
    return UserFactory.create(company=company, email="anna@example.com")


@pytest.fixture
def api(api: Api, admin: User) -> Api:
    """A CompanyAdmin's."""
    return api.with_user(admin)


@pytest.fixture
def user(company: Company) -> User:
    return UserFactory.create(company=company, role=Role.OPERATOR, email="otto@example.com")


def test_a_user_is_made_reads_and_logs_in(api: Api, company: Company) -> None:
    answer = api.post(PATH, NEW | {"name": "Berta", "surname": "Huber"})
    assert answer.status_code == 201
    made = answer.json()
    fields = ("guid", "email", "role", "company_guid", "name", "surname", "is_active", "created_at")
    assert tuple(made) == fields
    assert (made["email"], made["role"], made["company_guid"]) == ("berta@example.com", "Operator", str(company.guid))
    assert (made["name"], made["surname"], made["is_active"]) == ("Berta", "Huber", True)
    assert api.get(f"{PATH}/{made['guid']}").json() == made
    assert made in api.get(PATH).json()
    login = Api().post(LOGIN, {"email": "berta@example.com", "password": NEW_PASSWORD})
    assert login.json()["role"] == "Operator"


def test_a_password_is_never_shown(api: Api) -> None:
    answer = api.post(PATH, NEW)
    hashed = User.objects.get(email="berta@example.com").password
    changed = api.patch(f"{PATH}/{answer.json()['guid']}", {"password": "an ox in the battery"})
    for shown in (answer, changed, api.get(PATH)):
        for secret in (NEW_PASSWORD, "an ox", hashed):
            assert secret not in shown.content.decode()
    assert not LogEntry.objects.filter(change_message__contains="battery").exists()


@pytest.mark.parametrize("method", ["put", "patch"])
def test_what_a_change_leaves_out_stays(api: Api, user: User, method: str) -> None:
    change = getattr(api, method)
    before = api.get(f"{PATH}/{user.guid}").json()
    assert change(f"{PATH}/{user.guid}", {"name": "Otto"}).json() == before | {"name": "Otto"}
    assert change(f"{PATH}/{user.guid}", {"role": "Integration"}).json()["role"] == "Integration"
    assert change(f"{PATH}/{user.guid}", {"email": "O2@Example.com"}).json()["email"] == "o2@example.com"
    assert change(f"{PATH}/{user.guid}", {}).status_code == 200
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_what_was_read_may_be_sent_back(api: Api, user: User) -> None:
    read = api.get(f"{PATH}/{user.guid}").json()
    assert api.put(f"{PATH}/{user.guid}", read).json() == read
    assert not LogEntry.objects.exists()


def test_another_password_ends_the_sessions_and_is_the_one_to_log_in_with(api: Api, user: User) -> None:
    session = Api().with_user(user)
    assert api.patch(f"{PATH}/{user.guid}", {"password": NEW_PASSWORD}).status_code == 200
    assert session.get("/api/v1/auth/me").status_code == 401
    assert Api().post(LOGIN, {"email": user.email, "password": PASSWORD}).status_code == 401
    assert Api().post(LOGIN, {"email": user.email, "password": NEW_PASSWORD}).status_code == 200


@pytest.mark.parametrize("way", ["delete", "patch"])
def test_switching_off_ends_the_sessions_for_good(api: Api, user: User, way: str) -> None:
    session = Api().with_user(user)
    if way == "delete":
        for _ in range(2):
            answer = api.delete(f"{PATH}/{user.guid}")
            assert (answer.status_code, answer.json()["is_active"]) == (200, False)
    else:
        assert api.patch(f"{PATH}/{user.guid}", {"is_active": False}).json()["is_active"] is False
    assert session.get("/api/v1/auth/me").status_code == 401
    assert LogEntry.objects.count() == 1
    assert api.patch(f"{PATH}/{user.guid}", {"is_active": True}).json()["is_active"] is True
    assert session.get("/api/v1/auth/me").status_code == 401
    assert Api().post(LOGIN, {"email": user.email, "password": PASSWORD}).status_code == 200


def test_a_body_that_is_not_asked_for_is_not_read(api: Api, user: User) -> None:
    assert api.generic("GET", f"{PATH}/{user.guid}", '{"password": 1', "application/json").status_code == 200
    assert api.generic("DELETE", f"{PATH}/{user.guid}", '{"password": 1', "text/plain").status_code == 200


BAD = [
    ({"email": None}, "email", "null"),
    ({"email": "x"}, "email", "invalid"),
    ({"email": f"x@{'yyy.' * 70}example"}, "email", "max_length"),
    ({"email": f"x@{'ﷺ' * 20}.example"}, "email", None),  # grows when it is normalized
    ({"email": "a\0@example.com"}, "email", None),
    ({"password": "short"}, "password", "password_too_short"),
    ({"password": "berta@example.com"}, "password", "password_too_similar"),
    ({"password": "password1"}, "password", "password_too_common"),
    ({"password": "x" * 1025}, "password", "max_length"),
    ({"password": "a\0" * 10}, "password", "null_characters_not_allowed"),
    ({"role": "Boss"}, "role", "invalid_choice"),
    ({"role": ["Operator"]}, "role", "invalid_choice"),
    ({"role": None}, "role", "null"),
    ({"name": "x" * 256}, "name", "max_length"),
    ({"company_guid": "x"}, "company_guid", "invalid"),
    ({"company_guid": 2**63}, "company_guid", None),
    ({"is_active": None}, "is_active", "null"),
]


@pytest.mark.parametrize(("wrong", "field", "code"), BAD)
def test_a_bad_value_is_a_422(api: Api, user: User, wrong: Any, field: str, code: str | None) -> None:
    for answer in (api.post(PATH, NEW | wrong), api.patch(f"{PATH}/{user.guid}", {"email": NEW["email"], **wrong})):
        if answer.status_code == 403:  # an integer is a guid to DRF
            assert wrong == {"company_guid": 2**63}
            continue
        assert answer.status_code == 422, answer.content
        fault = answer.json()["detail"][0]
        assert fault["loc"] == ["body", field]
        assert code in (None, fault["type"])
        assert "x" * 101 not in answer.content.decode()
    assert User.objects.count() == 2


def test_every_missing_field_is_named(api: Api) -> None:
    faults = api.post(PATH, {}).json()["detail"]
    assert {fault["loc"][1] for fault in faults} == {"email", "password", "role"}


def test_an_email_twice_is_a_409_in_any_case_and_in_any_company(api: Api, other_company: Company, user: User) -> None:
    UserFactory.create(company=other_company, email="berta@example.com")
    assert api.post(PATH, NEW).status_code == 409
    assert api.patch(f"{PATH}/{user.guid}", {"email": "ANNA@example.com"}).status_code == 409
    assert api.patch(f"{PATH}/{user.guid}", {"email": "OTTO@example.com"}).status_code == 200
    assert User.objects.count() == 3


def test_a_system_admin_makes_users_of_any_company(company: Company, other_company: Company) -> None:
    root = Api().with_user(UserFactory.create(role=Role.SYSTEM_ADMIN, company=None))
    made = root.post(PATH, NEW | {"company_guid": str(company.guid)})
    assert made.json()["company_guid"] == str(company.guid)
    named = root.post(f"{PATH}?company_guid={other_company.guid}", NEW | {"email": "c@example.com"})
    assert named.json()["company_guid"] == str(other_company.guid)
    above = root.post(PATH, NEW | {"email": "d@example.com", "role": "SystemAdmin"})
    assert (above.status_code, above.json()["company_guid"]) == (201, None)
    for wrong in ({}, {"company_guid": None}, {"company_guid": "01a1ffec-d9c5-7479-8921-c20639616792"}):
        refused = root.post(PATH, NEW | {"email": "e@example.com"} | wrong)
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "company_guid"])
    assert len(root.get(PATH).json()) == 4
    assert [one["email"] for one in root.get(f"{PATH}?company_guid={company.guid}").json()] == ["berta@example.com"]


def test_each_change_is_recorded_and_shown_to_staff(api: Api, admin: User) -> None:
    guid = api.post(PATH, NEW).json()["guid"]
    api.patch(f"{PATH}/{guid}", {"role": "Integration", "password": "an ox in the battery"})
    api.delete(f"{PATH}/{guid}")
    said = [
        "Created by the API.",
        "Changed by the API: role: Operator → Integration; password",
        "Switched off by the API.",
    ]
    notes = LogEntry.objects.filter(object_id=guid).order_by("pk")
    assert [(note.change_message, note.user_id) for note in notes] == [(one, admin.guid) for one in said]
    history = text_of(session_of(admin).get(f"/admin/tenants/user/{guid}/history/"))
    assert all(one in history for one in said)


@override_settings(THROTTLE_ALL_LOGINS=(2, 60))
def test_passwords_that_are_set_count_as_the_caller_s_logins(api: Api, user: User) -> None:
    """Each costs a hash."""
    for _ in range(2):
        assert api.patch(f"{PATH}/{user.guid}", {"password": NEW_PASSWORD}).status_code == 200
    refused = api.post(PATH, NEW)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert api.patch(f"{PATH}/{user.guid}", {"name": "O"}).status_code == 200
