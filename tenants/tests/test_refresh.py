"""`POST /api/v1/auth/refresh` (contract, "Auth")."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from ractory.api.tests.client import Api
from ractory.api.tests.threads import at_once
from tenants.authentication import ENDED, LENIENCE, begin
from tenants.models import Company, LoginSession, User
from tenants.tests.factories import PASSWORD, UserFactory

PATH, ME = "/api/v1/auth/refresh", "/api/v1/auth/me"
USED = "The refresh token has been used; log in again."

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
    response = refresh(api, begin(user)["refresh_token"])
    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"access_token", "refresh_token", "role", "expires_in"}
    assert (answer["role"], answer["expires_in"]) == (user.role, 900)
    assert AccessToken(answer["access_token"])["sub"] == str(user.guid)
    assert refresh(api, answer["refresh_token"]).status_code == 200


def test_an_access_token_is_no_refresh_token(api: Api, user: User) -> None:
    refused(refresh(api, begin(user)["access_token"]), "The token is invalid or expired.")


def test_an_expired_token_is_refused(api: Api, user: User) -> None:
    token = RefreshToken(begin(user)["refresh_token"])
    token.set_exp(lifetime=timedelta(seconds=-1))
    refused(refresh(api, token), "The token is invalid or expired.")


def test_a_token_with_a_changed_signature_is_refused(api: Api, user: User) -> None:
    head, payload, signature = begin(user)["refresh_token"].split(".")
    refused(refresh(api, ".".join((head, payload, signature[::-1]))), "The token is invalid or expired.")


@pytest.mark.parametrize("token", ["x", "a.b.c", "...", "é.é.é", "€", "a" * 4096])
def test_what_is_no_token_is_refused(api: Api, token: str) -> None:
    refused(refresh(api, token), "The token is invalid or expired.")


def test_an_inactive_user_is_refused(api: Api, user: User) -> None:
    token = begin(user)["refresh_token"]
    User.objects.update(is_active=False)
    refused(refresh(api, token), "The user is inactive.")


def test_a_user_of_an_inactive_company_is_refused(api: Api, user: User) -> None:
    token = begin(user)["refresh_token"]
    Company.objects.update(is_active=False)
    refused(refresh(api, token), "The user is inactive.")


def test_a_user_who_is_gone_is_refused(api: Api, user: User) -> None:
    token = begin(user)["refresh_token"]
    user.delete()
    refused(refresh(api, token), ENDED)


def used_token(api: Api, user: User, ago: timedelta) -> tuple[str, dict[str, Any]]:
    """A refresh token that has been used this long ago, and what it gave."""
    token = begin(user)["refresh_token"]
    answer: dict[str, Any] = refresh(api, token).json()
    LoginSession.objects.update(renewed_at=timezone.now() - ago)
    return token, answer


def test_a_used_refresh_token_is_refused(api: Api, user: User) -> None:
    token, answer = used_token(api, user, timedelta())
    refused(refresh(api, token), USED)
    assert api.get(ME, headers={"Authorization": f"Bearer {answer['access_token']}"}).status_code == 200
    assert refresh(api, answer["refresh_token"]).status_code == 200


def test_a_used_refresh_token_that_comes_again_later_ends_its_login_and_no_other(
    api: Api, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    other = begin(user)["refresh_token"]
    stolen, answer = used_token(api, user, 2 * LENIENCE)
    refused(refresh(api, stolen), USED)
    assert f"A used refresh token of user {user.guid} came again" in caplog.text
    assert stolen not in caplog.text
    refused(refresh(api, answer["refresh_token"]), ENDED)
    refused(api.get(ME, headers={"Authorization": f"Bearer {answer['access_token']}"}), ENDED)
    assert refresh(api, other).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_many_refreshes_at_once_with_one_token_one_succeeds(user: User) -> None:
    for _ in range(5):
        token = begin(user)["refresh_token"]
        calls = [lambda token=token: refresh(Api(), token) for _ in range(4)]
        answers = at_once(*calls)
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
        (good,) = (answer.json() for answer in answers if answer.status_code == 200)
        assert refresh(Api(), good["refresh_token"]).status_code == 200


def test_while_the_file_is_locked_it_is_a_409_and_the_token_stays_good(api: Api, user: User) -> None:
    def locked(execute: Any, sql: str, *rest: Any) -> Any:
        if "tenants_loginsession" in sql and not sql.startswith("SELECT"):
            raise OperationalError("database is locked")
        return execute(sql, *rest)

    token, login = begin(user)["refresh_token"], {"email": user.email, "password": PASSWORD}
    with connection.execute_wrapper(locked):
        answers = [refresh(api, token), api.post("/api/v1/auth/login", login)]
    assert [(answer.status_code, answer["Retry-After"]) for answer in answers] == [(409, "1"), (409, "1")]
    assert refresh(api, token).status_code == 200


def test_no_token_is_stored(api: Api, user: User) -> None:
    tokens = begin(user)
    stored = " ".join(map(str, LoginSession.objects.values_list().get()))
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert not any(part in stored for part in token.split("."))


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
