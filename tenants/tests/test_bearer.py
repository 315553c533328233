"""`Authorization: Bearer <JWT>`: which tokens open the API."""

import base64
import uuid
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from rest_framework_simplejwt.tokens import AccessToken

from ractory.api.tests.client import Api
from tenants.authentication import begin
from tenants.models import Company, User
from tenants.tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(company: Company) -> User:
    return UserFactory.create(company=company)


def access_token(user: User) -> AccessToken:
    """Of a login of this user; what is done to it is signed anew."""
    return AccessToken(begin(user)["access_token"])


def me(api: Api, token: object, scheme: str = "Bearer") -> Any:
    return api.get("/api/v1/auth/me", headers={"Authorization": f"{scheme} {token}"})


def refused(response: Any, detail: str = "The token is invalid or expired.") -> None:
    assert response.status_code == 401
    assert response.json() == {"detail": detail}
    assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(api: Api, user: User, scheme: str) -> None:
    assert me(api, access_token(user), scheme).status_code == 200


def test_a_refresh_token_is_refused(api: Api, user: User) -> None:
    refused(me(api, begin(user)["refresh_token"]))


def test_an_expired_token_is_refused(api: Api, user: User) -> None:
    token = access_token(user)
    token.set_exp(lifetime=timedelta(seconds=-1))
    refused(me(api, token))


def test_a_token_signed_with_another_key_or_with_none_is_refused(api: Api, user: User) -> None:
    claims = access_token(user).payload
    assert me(api, jwt.encode(claims, settings.SECRET_KEY, "HS256")).status_code == 200
    refused(me(api, jwt.encode(claims, settings.SECRET_KEY[::-1], "HS256")))
    refused(me(api, jwt.encode(claims, None, "none")))


def test_an_inactive_user_a_lost_one_and_one_of_an_inactive_company_are_refused(api: Api, user: User) -> None:
    token = access_token(user)
    assert me(api, token).status_code == 200
    User.objects.update(is_active=False)
    refused(me(api, token), "The user is inactive.")
    User.objects.update(is_active=True)
    Company.objects.update(is_active=False)
    refused(me(api, token), "The user is inactive.")
    user.delete()
    refused(me(api, token), "The session has ended; log in again.")


@pytest.mark.parametrize("sid", [None, "", "5", "é", str(uuid.UUID(int=7))])
def test_a_token_of_no_session_is_refused(api: Api, user: User, sid: str | None) -> None:
    token = access_token(user)
    token["sid"] = sid
    refused(me(api, token), "The session has ended; log in again.")
    del token.payload["sid"]
    refused(me(api, token), "The session has ended; log in again.")


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
