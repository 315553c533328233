"""What every request passes through: an id of its own, a place in the metrics and the log, no need of a slash."""

import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from uuid_utils.compat import uuid7

from ractory.api import metrics
from ractory.api.redaction import cut, holds_secret

GetResponse = Callable[[HttpRequest], HttpResponse]

MAX_PATH, MAX_METHOD = 300, 20  # characters in the log
SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)
# Who sent the request (tenants.caller.Caller), from the moment that whoever proves it says so.
current_caller: ContextVar[Any] = ContextVar("current_caller", default=None)

access = logging.getLogger("ractory.access")
QUIET = frozenset({"/health", "/api/v1/health", "/metrics"})  # routes that machines ask every few seconds


class RequestIdMiddleware:
    """Answers every request with `X-Request-ID`: the client's own, if it sent a sane one, else a new UUIDv7.

    And with its length, as Django's CommonMiddleware would, which refuses probes that name the host by its address.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if SANE_ID.fullmatch(sent) and not holds_secret(sent) else str(uuid7())
        token = current_request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current_request_id.reset(token)
        response.headers["X-Request-ID"] = request_id
        if not response.streaming and "Content-Length" not in response.headers:
            response.headers["Content-Length"] = str(len(response.content))
        return response


class AccessMiddleware:
    """Counts, times and logs each request; meanwhile the log's lines know theirs (ractory.api.logs)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        token, nobody = current_request.set(request), current_caller.set(None)
        try:
            with metrics.IN_PROGRESS.track_inprogress():
                response = self.get_response(request)
            seconds = time.perf_counter() - started
            metrics.count_request(request, response, seconds)
            quiet = metrics.route_of(request) in QUIET and response.status_code == 200
            level = logging.DEBUG if quiet else logging.INFO
            # Without the query string: it may hold a secret by mistake.
            asked = cut(request.method or "", MAX_METHOD), cut(request.path, MAX_PATH)
            answer = {"status": response.status_code, "duration_ms": round(seconds * 1000, 1)}
            access.log(level, "%s %s %s", *asked, response.status_code, extra={"answer": answer})
        finally:
            current_caller.reset(nobody)
            current_request.reset(token)
        return response


class TrailingSlashMiddleware(MiddlewareMixin):
    """Lets every API path work with and without a trailing slash, without a redirect.

    The routes are written without one; the admin keeps Django's own style, with one.
    """

    def process_request(self, request: HttpRequest) -> None:
        path = request.path_info
        if path.endswith("/") and path.startswith(("/api/", "/health/")):
            request.path_info = path.rstrip("/")
        elif path == "/admin":
            request.path_info = "/admin/"
