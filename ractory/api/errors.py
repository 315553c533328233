"""The one place where an error gets its shape on the wire (contract, "Conventions").

`{"detail": "…"}` for everything but 422, whose detail is a list of faults.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

MAX_LISTED = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where (`loc`), said to a person (`msg`), said to a program (`type`)."""

    loc: tuple[str | int, ...]
    msg: str
    type: str

    def as_wire(self) -> dict[str, Any]:
        return {"loc": list(self.loc), "msg": self.msg, "type": self.type}


class Unprocessable(APIException):
    """422 with every fault of the request; the first 100 are listed, then one entry says how many more."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY

    def __init__(self, faults: Sequence[Fault], total: int | None = None) -> None:
        super().__init__("Unprocessable")
        self.faults = listed(faults, total or len(faults))


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request's body is too large."


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "The request conflicts with the present state."


class ConflictRetry(Conflict):
    """409 for a clash with other writers that a later try will not meet."""

    default_detail = "Other requests kept changing the same rows. Nothing was written; send it again."
    wait = 1  # seconds; becomes Retry-After


def listed(faults: Sequence[Fault], total: int) -> list[dict[str, Any]]:
    """At most 100 faults as they go over the wire, then one entry that says how many more there are."""
    shown_faults = [fault.as_wire() for fault in faults[:MAX_LISTED]]
    if total > MAX_LISTED:
        rest = Fault(faults[0].loc[:1], f"… and {total - MAX_LISTED} more faults", "too_many_faults")
        shown_faults.append(rest.as_wire())
    return shown_faults


def shown(value: object) -> str:
    """The offending value as a message names it: short, on one line, whatever the client sent."""
    if isinstance(value, str) and len(value) > 60:
        value = value[:60] + "…"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = json.dumps(value, default=str, ensure_ascii=True)
    return text if len(text) <= 200 else text[:200] + "…"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler, with this API's envelope; None (an unknown exception) becomes Django's 500."""
    if isinstance(exc, Unprocessable):
        return Response({"detail": exc.faults}, status=exc.status_code)
    if isinstance(exc, ValidationError):
        faults = list(_faults_of_drf(exc.detail, ("body",)))
        return Response({"detail": listed(faults, len(faults))}, status=Unprocessable.status_code)
    response = drf_exception_handler(exc, context)
    if response is not None:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else response.data
        response.data = {"detail": str(detail)}
    return response


def _faults_of_drf(detail: Any, loc: tuple[str | int, ...]) -> Iterator[Fault]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _faults_of_drf(value, loc if key == "non_field_errors" else (*loc, key))
    elif isinstance(detail, list):
        for value in detail:
            yield from _faults_of_drf(value, loc)
    else:
        yield Fault(loc, str(detail), getattr(detail, "code", "invalid"))


def _plain(request: HttpRequest, code: int, detail: str, fallback: HttpResponse) -> HttpResponse:
    return fallback if request.path.startswith("/admin") else JsonResponse({"detail": detail}, status=code)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _plain(request, 400, "Bad request.", defaults.bad_request(request, exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _plain(request, 404, "Not found.", defaults.page_not_found(request, exception))


def server_error(request: HttpRequest) -> HttpResponse:
    return _plain(request, 500, "Internal server error.", defaults.server_error(request))
