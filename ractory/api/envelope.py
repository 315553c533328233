"""The one place where an error gets its shape on the wire (contract, "Conventions"): a `detail`, a text or faults."""

import logging
import sys
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.log import log_response
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from ractory.api.errors import MAX_MESSAGE, Fault, TimedOut, Unavailable, Unprocessable
from ractory.api.redaction import redacted
from ractory.api.retry import CANCELLED, sqlstate

logger = logging.getLogger(__name__)

SUSPICIOUS = "Bad request."
OLD = {"articles", "workstations", "workflow", "ui-templates", "ui_templates"}  # of the old server, not of this one
NO_DATABASE = (InterfaceError, OperationalError)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler, with this API's envelope; None (an unknown exception) becomes Django's 500."""
    if isinstance(exc, NO_DATABASE):
        response = exception_handler(_unavailable(exc), context)
        # By Django's own function, which notes on the response that it has been logged.
        log_response("The database does not answer", response=response, logger=logger, exception=exc)
        return response
    if isinstance(exc, SuspiciousOperation):  # too many parameters, say: a refusal as any other, with its receipt
        exc = ParseError(SUSPICIOUS)
    if isinstance(exc, ValidationError):  # of a serializer
        named: Any = exc.detail if isinstance(exc.detail, dict) else {"non_field_errors": exc.detail}
        faults = [(name, error) for name, errors in named.items() for error in errors]
        loc = {"non_field_errors": ("body",)}
        exc = Unprocessable([Fault(loc.get(name, ("body", name)), str(error), error.code) for name, error in faults])
    if isinstance(exc, Unprocessable):
        return Response({"detail": exc.faults}, status=exc.status_code)
    response = drf_exception_handler(exc, context)
    if response is not None:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else response.data
        response.data = {"detail": redacted(str(detail)[:MAX_MESSAGE])} | getattr(exc, "more", {})
        for name, value in getattr(exc, "headers", {}).items():
            response[name] = value
    return response


def _unavailable(error: BaseException) -> Unavailable:
    return TimedOut() if sqlstate(error) == CANCELLED else Unavailable()


def _plain(request: HttpRequest, code: int, detail: str, fallback: HttpResponse) -> HttpResponse:
    return fallback if request.path.startswith("/admin") else JsonResponse({"detail": detail}, status=code)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _plain(request, 400, SUSPICIOUS, defaults.bad_request(request, exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _plain(request, 404, "Not found.", defaults.page_not_found(request, exception))


@csrf_exempt  # there is nothing to forge
def unknown(request: HttpRequest, rest: str = "") -> HttpResponse:
    """A path that is none: the JSON 404 with DEBUG on, too, where Django would show a page of its own."""
    old = OLD.intersection(rest.split("/"))
    detail = f"This server has no {old.pop()}, which the old one had: see docs/migrating.md." if old else "Not found."
    return JsonResponse({"detail": detail}, status=404)


def no_page(request: HttpRequest) -> HttpResponse:
    """In place of views that no page of ours links to, and of which some break on parameters that they do not expect:
    Django's "view on site", look-up for autocompletion and lists of an app's lists, and unfold's search of the menu."""
    raise Http404


def server_error(request: HttpRequest) -> HttpResponse:
    """What nothing else has caught; Django calls it while it handles the exception, and logs it."""
    error = sys.exception()
    if isinstance(error, NO_DATABASE):
        said = _unavailable(error)
        title = said.default_detail.partition(".")[0]
        page = HttpResponse(render_to_string("503.html", {"title": title}), status=said.status_code)
        response = _plain(request, said.status_code, said.default_detail, page)
        response.headers["Retry-After"] = str(said.wait)
        return response
    return _plain(request, 500, "Internal server error.", defaults.server_error(request))
