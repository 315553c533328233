"""`Authorization: Bearer <JWT>`: which tokens open the API."""

import base64
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from ractory.api.tests.client import Api
from tenants.models import Company, User
from tenants.tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(company: Company) -> User:
    return UserFactory.create(company=company)


def me(api: Api, token: object, scheme: str = "Bearer") -> Any:
    return api.get("/api/v1/auth/me", headers={"Authorization": f"{scheme} {token}"})


def refused(response: Any, detail: str = "The token is invalid or expired.") -> None:
    assert response.status_code == 401
    assert response.json() == {"detail": detail}
    assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(api: Api, user: User, scheme: str) -> None:
    assert me(api, AccessToken.for_user(user), scheme).status_code == 200


def test_a_refresh_token_is_refused(api: Api, user: User) -> None:
    refused(me(api, RefreshToken.for_user(user)))


def test_an_expired_token_is_refused(api: Api, user: User) -> None:
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(seconds=-1))
    refused(me(api, token))


def test_a_token_signed_with_another_key_or_with_none_is_refused(api: Api, user: User) -> None:
    claims = AccessToken.for_user(user).payload
    assert me(api, jwt.encode(claims, settings.SECRET_KEY, "HS256")).status_code == 200
    refused(me(api, jwt.encode(claims, settings.SECRET_KEY[::-1], "HS256")))
    refused(me(api, jwt.encode(claims, None, "none")))


def test_an_inactive_user_a_lost_one_and_one_of_an_inactive_company_are_refused(api: Api, user: User) -> None:
    token = AccessToken.for_user(user)
    assert me(api, token).status_code == 200
    User.objects.update(is_active=False)
    refused(me(api, token), "The user is unknown or inactive.")
    User.objects.update(is_active=True)
    Company.objects.update(is_active=False)
    refused(me(api, token), "The user is unknown or inactive.")
    user.delete()
    refused(me(api, token), "The user is unknown or inactive.")


def test_a_changed_password_ends_the_tokens_made_before(api: Api, user: User) -> None:
    token = AccessToken.for_user(user)
    user.set_password("another one entirely")
    user.save()
    refused(me(api, token), "The password has been changed; log in again.")
    assert me(api, AccessToken.for_user(user)).status_code == 200


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"null",
        b"\xff\xfe",
        b"[" * 3000,
        b'{"a":' * 700,
        b'{"alg": {}}',
        b'{"alg": ["HS256"]}',
        b'{"alg": "HS256", "kid": 5}',
        b'{"alg": "HS256", "crit": 5}',
        b'{"alg": "HS256", "b64": false, "crit": ["b64"]}',
    ],
    ids=lambda head: repr(head[:30]),
)
@pytest.mark.parametrize("payload", [b"{}", b"[" * 3000], ids=["plain", "deep"])
def test_a_forged_token_of_any_shape_is_refused(api: Api, head: bytes, payload: bytes) -> None:
    refused(me(api, f"{part(head)}.{part(payload)}.{part(b'signature')}"))


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "....", "é.é.é", "\0", " " * 20])
def test_what_is_no_token_is_refused(api: Api, token: str) -> None:
    refused(me(api, token))
