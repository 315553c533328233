"""What every request passes through: an id of its own, and paths that need no trailing slash."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse
from uuid_utils.compat import uuid7

GetResponse = Callable[[HttpRequest], HttpResponse]

SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")


class RequestIdMiddleware:
    """Answers every request with `X-Request-ID`: the client's own, if it sent a sane one, else a new UUIDv7.

    And with its length, as Django's CommonMiddleware would, which refuses probes that name the host by its address.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if SANE_ID.fullmatch(sent) else str(uuid7())
        token = current_request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current_request_id.reset(token)
        response.headers["X-Request-ID"] = request_id
        if not response.streaming and "Content-Length" not in response.headers:
            response.headers["Content-Length"] = str(len(response.content))
        return response


class RequestIdFilter(logging.Filter):
    """Gives each line of the log the id of the request that it is about."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get() or "-"
        return True


class TrailingSlashMiddleware:
    """Lets every API path work with and without a trailing slash, without a redirect.

    The routes are written without one; the admin keeps Django's own style, with one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.endswith("/") and path.startswith(("/api/", "/health/")):
            request.path_info = path.rstrip("/")
        elif path == "/admin":
            request.path_info = "/admin/"
        return self.get_response(request)
