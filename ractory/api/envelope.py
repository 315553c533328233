"""The one place where an error gets its shape on the wire (contract, "Conventions").

`{"detail": "…"}` for everything but 422, whose detail is a list of faults.
"""

import logging
from collections.abc import Iterator
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from ractory.api.errors import Fault, Unavailable, Unprocessable, listed

logger = logging.getLogger(__name__)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler, with this API's envelope; None (an unknown exception) becomes Django's 500."""
    if isinstance(exc, InterfaceError | OperationalError):
        logger.error("The database does not answer", exc_info=exc)
        exc = Unavailable()
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


@csrf_exempt  # there is nothing to forge
def unknown(request: HttpRequest, unknown: str) -> HttpResponse:
    """A path that is none: the JSON 404 with DEBUG on, too, where Django would show a page of its own."""
    return JsonResponse({"detail": "Not found."}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _plain(request, 500, "Internal server error.", defaults.server_error(request))
