"""`X-Request-ID` on every response: the client's own, if it sent a sane one (contract, "Conventions")."""

import uuid

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from ractory.api.middleware import RequestMiddleware, current_request_id
from ractory.api.tests.client import Api


def answered(api: Api, sent: str | None) -> str:
    headers = {} if sent is None else {"X-Request-ID": sent}
    return api.get("/api/v1/nothing", headers=headers).headers["X-Request-ID"]


@pytest.mark.parametrize("sent", ["1", "abc-123", "a.b_c:d/e+f=g@h", "x" * 128, "0199c7a0-0000-7000-8000-000000000000"])
def test_a_sane_id_comes_back(api: Api, sent: str) -> None:
    assert answered(api, sent) == sent


@pytest.mark.parametrize(
    "sent", [None, "", " ", "a b", "x" * 129, "é", "<script>", "a\r\nSet-Cookie: b=c", "a\n", "a\0", '"', ";", "%0a"]
)
def test_without_a_sane_one_it_is_a_new_uuid(api: Api, sent: str | None) -> None:
    first, second = answered(api, sent), answered(api, sent)
    assert uuid.UUID(first).version == 7
    assert first != second


def test_every_kind_of_answer_has_one(api: Api) -> None:
    for path in ("/api/v1/auth/me", "/api/v1/nothing", "/admin/login/"):
        assert api.get(path, headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
    assert api.get("/api/v1/auth/me", headers={"Host": "evil.example"}).headers["X-Request-ID"]


def test_the_code_below_knows_it_for_the_length_of_the_request() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(current_request_id.get())

    response = RequestMiddleware(view)(RequestFactory().get("/", headers={"X-Request-ID": "mine"}))
    assert response.content == b"mine"
    assert current_request_id.get() == ""


def test_it_is_forgotten_even_when_the_request_fails() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        RequestMiddleware(view)(RequestFactory().get("/"))
    assert current_request_id.get() == ""
