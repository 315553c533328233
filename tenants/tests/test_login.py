"""`POST /api/v1/auth/login` (contract, "Auth")."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import PASSWORD, UserFactory

PATH = "/api/v1/auth/login"

pytestmark = pytest.mark.django_db


def login(api: Api, email: Any, password: Any = PASSWORD) -> Any:
    return api.post(PATH, {"email": email, "password": password})


@pytest.mark.parametrize("role", Role.values)
def test_the_right_password_gives_two_tokens_and_the_role(api: Api, company: Company, role: str) -> None:
    user = UserFactory.create(role=role, company=company)
    response = login(api, user.email)
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"access_token", "refresh_token", "role", "expires_in"}
    assert (answer["role"], answer["expires_in"]) == (role, 900)
    assert AccessToken(answer["access_token"])["sub"] == str(user.guid)
    assert RefreshToken(answer["refresh_token"])["sub"] == str(user.guid)


def test_the_access_token_lives_as_long_as_expires_in_says(api: Api) -> None:
    before = datetime.now(UTC).timestamp()
    answer = login(api, UserFactory.create().email).json()
    lifetime = AccessToken(answer["access_token"])["exp"] - before
    assert answer["expires_in"] - 2 <= lifetime <= answer["expires_in"] + 2


def test_the_access_token_opens_the_api(api: Api) -> None:
    user = UserFactory.create()
    token = login(api, user.email).json()["access_token"]
    me = api.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.status_code, me.json()["email"]) == (200, user.email)


def test_the_email_is_found_in_any_case(api: Api) -> None:
    UserFactory.create(email="Anna@Example.com")
    assert login(api, "aNNA@eXAMPLE.COM").status_code == 200


def test_the_password_is_taken_with_its_spaces(api: Api) -> None:
    user = UserFactory.create(password="  spaced out  ")
    assert login(api, user.email, "  spaced out  ").status_code == 200
    assert login(api, user.email, "spaced out").status_code == 401


def refused(response: Any) -> None:
    assert response.status_code == 401
    assert response.json() == {"detail": "Wrong email or password."}
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="ractory", ApiKey realm="ractory"'


def test_a_wrong_password_an_unknown_email_and_an_inactive_user_sound_alike(api: Api) -> None:
    refused(login(api, UserFactory.create().email, "wrong"))
    refused(login(api, "nobody@example.com"))
    refused(login(api, "not an email"))
    refused(login(api, UserFactory.create(is_active=False).email))


def test_a_user_of_an_inactive_company_is_refused(api: Api, company: Company) -> None:
    user = UserFactory.create(company=company)
    assert login(api, user.email).status_code == 200
    Company.objects.update(is_active=False)
    refused(login(api, user.email))


def test_a_user_without_a_password_cannot_log_in(api: Api) -> None:
    user = UserFactory.create(password=None)
    refused(login(api, user.email, user.password))
    refused(login(api, user.email, "None"))


def test_invalid_credentials_beside_the_body_do_not_matter(api: Api) -> None:
    api.credentials(HTTP_X_API_KEY="rfk_old", HTTP_AUTHORIZATION="Bearer stale")
    assert login(api, UserFactory.create().email).status_code == 200


@pytest.mark.parametrize("field", ["email", "password"])
@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "null"), ("", "blank"), ([], "invalid"), ({}, "invalid"), (True, "invalid"), ("a" * 2000, "max_length")],
)
def test_a_value_that_is_no_text_is_a_422_at_its_field(api: Api, field: str, value: object, code: str) -> None:
    response = api.post(PATH, {"email": "a@example.com", "password": "b", field: value})
    assert response.status_code == 422
    assert [(fault["loc"], fault["type"]) for fault in response.json()["detail"]] == [(["body", field], code)]


def test_every_missing_field_is_named(api: Api) -> None:
    response = api.post(PATH, {})
    assert response.status_code == 422
    faults = response.json()["detail"]
    assert [(fault["loc"], fault["type"]) for fault in faults] == [
        (["body", "email"], "required"),
        (["body", "password"], "required"),
    ]
    assert all(fault.keys() == {"loc", "msg", "type"} for fault in faults)
