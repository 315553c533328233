"""What login and refresh make of a body that is not what they ask for: a 4xx with a reason, never a 5xx."""

import gzip

import pytest

from ractory.api.tests.client import Api

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/auth/refresh"]),
]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"email": }',
        b"\xff\xfe",
        b'{"email": "\xed\xa0\x80"}',
        rb'{"email": "\ud800", "password": "x", "refresh_token": "\udc00"}',
        b'{"email": NaN}',
        b"[" * 50_000,
        b'{"email": ' * 5000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_no_json_is_a_400(api: Api, path: str, body: bytes) -> None:
    response = api.post_raw(path, body)
    assert response.status_code == 400
    assert response.json()["detail"].startswith("The body is not JSON: ")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"5", b"true"])
def test_json_that_is_no_object_is_a_400(api: Api, path: str, body: bytes) -> None:
    response = api.post_raw(path, body)
    assert response.status_code == 400
    assert response.json() == {"detail": "The body must be a JSON object."}


def test_nul_characters_are_a_422_at_their_field(api: Api, path: str) -> None:
    response = api.post_raw(path, rb'{"email": "a\u0000b", "password": "\u0000", "refresh_token": "\u0000"}')
    assert response.status_code == 422
    faults = response.json()["detail"]
    assert faults
    assert {fault["type"] for fault in faults} == {"null_characters_not_allowed"}


def test_nesting_within_the_parsers_bounds_is_a_422(api: Api, path: str) -> None:
    deep = b"[" * 500 + b"]" * 500
    body = b'{"email": %b, "password": %b, "refresh_token": %b}' % (deep, deep, deep)
    assert api.post_raw(path, body).status_code == 422


def test_numbers_of_any_size_are_no_server_error(api: Api, path: str) -> None:
    for number in (b"1e400", b"-1", b"1099511627776", b"9" * 400, b"9" * 6000):
        body = b'{"email": %b, "password": %b, "refresh_token": %b}' % (number, number, number)
        assert api.post_raw(path, body).status_code in (400, 401, 422)


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/xml", "json"],
)
@pytest.mark.parametrize("body", [b"email=a&password=b&refresh_token=c", b""])
def test_another_content_type_is_a_415(api: Api, path: str, content_type: str, body: bytes) -> None:
    response = api.post_raw(path, body, content_type)
    assert response.status_code == 415
    assert "send application/json" in response.json()["detail"]


def test_more_than_64_kib_is_a_413_packed_or_not(api: Api, path: str) -> None:
    large = b'{"email": "%b"}' % (b"a" * 64 * 1024)
    assert api.post_raw(path, large).status_code == 413
    assert api.post_raw(path, gzip.compress(large), content_encoding="gzip").status_code == 413


def test_a_method_other_than_post_is_a_405(api: Api, path: str) -> None:
    for method in ("get", "put", "patch", "delete"):
        response = getattr(api, method)(path)
        assert response.status_code == 405
        assert response.json() == {"detail": f'Method "{method.upper()}" not allowed.'}
