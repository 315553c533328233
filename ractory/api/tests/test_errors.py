"""The error envelope, whatever raised the error (contract, "Conventions")."""

import json
import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ractory.api.errors import Conflict, ConflictRetry, Fault, TooLarge, Unprocessable, shown
from ractory.api.tests.client import Api

handler400 = "ractory.api.envelope.bad_request"
handler404 = "ractory.api.envelope.not_found"
handler500 = "ractory.api.envelope.server_error"


class NumberSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()


def raise_drf_validation() -> None:
    NumberSerializer(data={"number": "abc"}).is_valid(raise_exception=True)


def raise_many_faults() -> None:
    raise Unprocessable([Fault(("body", "pieces", index), "bad", "invalid") for index in range(250)])


ERRORS: dict[str, Exception] = {
    "400": exceptions.ParseError("Maximum batch size is 1000 pieces"),
    "403": exceptions.PermissionDenied("Not yours."),
    "403-django": PermissionDenied("Not yours."),
    "404": exceptions.NotFound("No such piece."),
    "404-django": Http404("No such piece."),
    "409": Conflict("The piece_id has been taken."),
    "409-retry": ConflictRetry(),
    "413": TooLarge(),
    "415": exceptions.UnsupportedMediaType("text/plain"),
    "429": exceptions.Throttled(wait=3),
}


class RaisingView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, name: str) -> Response:
        if name == "422-drf":
            raise_drf_validation()
        if name == "422-many":
            raise_many_faults()
        raise ERRORS[name]


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("api/raise/<name>", RaisingView.as_view()),
    path("api/suspicious", suspicious),
    path("api/broken", broken),
]

pytestmark = pytest.mark.urls(__name__)


@pytest.mark.parametrize("name", ERRORS)
def test_all_but_422_have_a_string_for_a_detail(api: Api, name: str) -> None:
    response = api.get(f"/api/raise/{name}")
    assert response.status_code == int(name[:3])
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-ID"]
    answer = response.json()
    assert answer.keys() == {"detail"}
    assert isinstance(answer["detail"], str)
    assert answer["detail"]


def test_the_message_that_was_raised_is_the_detail(api: Api) -> None:
    assert api.get("/api/raise/400").json() == {"detail": "Maximum batch size is 1000 pieces"}
    assert api.get("/api/raise/409").json() == {"detail": "The piece_id has been taken."}


def test_what_a_later_try_may_not_meet_says_when_to_try(api: Api) -> None:
    assert api.get("/api/raise/429").headers["Retry-After"] == "3"
    assert api.get("/api/raise/409-retry").headers["Retry-After"] == "1"
    assert "Retry-After" not in api.get("/api/raise/409")


def test_a_serializer_s_errors_are_faults_of_the_body(api: Api) -> None:
    response = api.get("/api/raise/422-drf")
    assert response.status_code == 422
    assert response.json() == {
        "detail": [{"loc": ["body", "number"], "msg": "A valid integer is required.", "type": "invalid"}]
    }


def test_of_250_faults_the_first_100_are_listed_and_the_rest_counted(api: Api) -> None:
    response = api.get("/api/raise/422-many")
    assert response.status_code == 422
    faults = response.json()["detail"]
    assert [fault["loc"] for fault in faults[:100]] == [["body", "pieces", index] for index in range(100)]
    assert faults[100:] == [{"loc": ["body"], "msg": "… and 150 more faults", "type": "too_many_faults"}]


def test_a_hundred_faults_are_not_followed_by_a_count() -> None:
    faults = [Fault(("query", "limit"), "bad", "invalid")] * 101
    assert len(Unprocessable(faults[:100]).faults) == 100
    assert Unprocessable(faults).faults[-1]["msg"] == "… and 1 more faults"
    assert Unprocessable(faults[:100], {faults[0].kind: 4000}).faults[-1] == {
        "loc": ["query"],
        "msg": "… and 3900 more faults",
        "type": "too_many_faults",
    }


def test_a_path_that_is_none_is_a_404_in_json(api: Api) -> None:
    for url in ("/api/v1/nothing", "/api/v1/nothing/", "/", "/api/%00", "/api/%ff", "/api/" + "x" * 3000):
        response = api.get(url)
        assert (response.status_code, response.json()) == (404, {"detail": "Not found."})
        assert response.headers["X-Request-ID"]


def test_a_method_that_is_none_is_a_405_in_json(api: Api) -> None:
    response = api.post("/api/raise/400", {})
    assert (response.status_code, response.json()) == (405, {"detail": 'Method "POST" not allowed.'})
    assert "GET" in response.headers["Allow"]


def test_what_django_finds_suspicious_is_a_400_in_json(api: Api) -> None:
    response = api.get("/api/suspicious")
    assert (response.status_code, response.json()) == (400, {"detail": "Bad request."})


def test_a_bug_of_ours_is_a_500_in_json_that_tells_nothing(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.raise_request_exception = False
    with caplog.at_level(logging.CRITICAL, "django.request"):
        response = api.get("/api/broken")
    assert (response.status_code, response.json()) == (500, {"detail": "Internal server error."})
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", '"abc"'),
        (5, "5"),
        (None, "null"),
        (True, "true"),
        ("a\nb\0", '"a\\nb\\u0000"'),
        ("\ud800", '"\\ud800"'),
        ("x" * 100, '"' + "x" * 100 + '"'),
        ("x" * 101, '"' + "x" * 100 + '…"'),
        ("\0" * 100, '"' + "\\u0000" * 16 + '\\u00…"'),
        (f"rfk_{'x' * 40} and more", '"[secret] and more"'),
        ({"a": 1}, "an object"),
        ([1], "an array"),
        (2.5, "2.5"),
        (10**300, "1" + "0" * 99 + "…"),
    ],
)
def test_an_offending_value_is_named_on_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_of_a_place_that_a_client_named_100_characters_go_over_the_wire_and_no_secret() -> None:
    fault = Fault(("body", 3, "x" * 1000, f"rfk_{'x' * 40}"), "m" * 1000, "extra_forbidden")
    assert fault.as_wire()["loc"] == ["body", 3, "x" * 100, "[secret]"]
    assert len(fault.as_wire()["msg"]) == 500


def test_a_fault_goes_over_the_wire_as_json() -> None:
    fault = Fault(("body", "pieces", 3, "project_guid"), "No such project.", "parent_missing")
    assert json.loads(json.dumps(fault.as_wire())) == {
        "loc": ["body", "pieces", 3, "project_guid"],
        "msg": "No such project.",
        "type": "parent_missing",
    }
