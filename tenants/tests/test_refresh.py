"""`POST /api/v1/auth/refresh` (contract, "Auth")."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from ractory.api.tests.client import Api
from tenants.models import Company, User
from tenants.tests.factories import UserFactory

PATH = "/api/v1/auth/refresh"

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(company: Company) -> User:
    return UserFactory.create(company=company)


def refresh(api: Api, token: object) -> Any:
    return api.post(PATH, {"refresh_token": str(token)})


def refused(response: Any, detail: str) -> None:
    assert response.status_code == 401
    assert response.json() == {"detail": detail}
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_refresh_token_gives_a_new_pair_that_works(api: Api, user: User) -> None:
    response = refresh(api, RefreshToken.for_user(user))
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"access_token", "refresh_token", "role", "expires_in"}
    assert (answer["role"], answer["expires_in"]) == (user.role, 900)
    assert AccessToken(answer["access_token"])["sub"] == str(user.guid)
    assert refresh(api, answer["refresh_token"]).status_code == 200


def test_an_access_token_is_no_refresh_token(api: Api, user: User) -> None:
    refused(refresh(api, AccessToken.for_user(user)), "The token is invalid or expired.")


def test_an_expired_token_is_refused(api: Api, user: User) -> None:
    token = RefreshToken.for_user(user)
    token.set_exp(lifetime=timedelta(seconds=-1))
    refused(refresh(api, token), "The token is invalid or expired.")


def test_a_token_with_a_changed_signature_is_refused(api: Api, user: User) -> None:
    head, payload, signature = str(RefreshToken.for_user(user)).split(".")
    refused(refresh(api, ".".join((head, payload, signature[::-1]))), "The token is invalid or expired.")


@pytest.mark.parametrize("token", ["x", "a.b.c", "...", "é.é.é", "€", "a" * 4096])
def test_what_is_no_token_is_refused(api: Api, token: str) -> None:
    refused(refresh(api, token), "The token is invalid or expired.")


def test_an_inactive_user_is_refused(api: Api, user: User) -> None:
    token = RefreshToken.for_user(user)
    User.objects.update(is_active=False)
    refused(refresh(api, token), "The user is unknown or inactive.")


def test_a_user_of_an_inactive_company_is_refused(api: Api, user: User) -> None:
    token = RefreshToken.for_user(user)
    Company.objects.update(is_active=False)
    refused(refresh(api, token), "The user is unknown or inactive.")


def test_a_user_who_is_gone_is_refused(api: Api, user: User) -> None:
    token = RefreshToken.for_user(user)
    user.delete()
    refused(refresh(api, token), "The user is unknown or inactive.")


def test_a_changed_password_ends_the_tokens_made_before(api: Api, user: User) -> None:
    before = RefreshToken.for_user(user)
    user.set_password("another one entirely")
    user.save(update_fields=["password"])
    refused(refresh(api, before), "The password has been changed; log in again.")
    assert refresh(api, RefreshToken.for_user(user)).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "required"),
        ({"refresh_token": None}, "null"),
        ({"refresh_token": ""}, "blank"),
        ({"refresh_token": ["x"]}, "invalid"),
        ({"refresh_token": "a" * 4097}, "max_length"),
    ],
)
def test_a_missing_or_misshapen_token_is_a_422(api: Api, body: dict[str, object], code: str) -> None:
    response = api.post(PATH, body)
    assert response.status_code == 422
    assert [(fault["loc"], fault["type"]) for fault in response.json()["detail"]] == [(["body", "refresh_token"], code)]
