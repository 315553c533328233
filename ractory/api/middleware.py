"""What every request passes through: an id, metrics, the log; and what its answer tells browsers and caches."""

import logging
import re
import time
from contextvars import ContextVar, copy_context
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin
from uuid_utils.compat import uuid7

from ractory.api import metrics
from ractory.api.redaction import cut, holds_secret

MAX_PATH, MAX_METHOD = 300, 20  # characters in the log
SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)
# Who sent the request (tenants.caller.Caller), from the moment that whoever proves it says so.
current_caller: ContextVar[Any] = ContextVar("current_caller", default=None)

access = logging.getLogger("ractory.access")
QUIET = frozenset({"/health", "/api/v1/health", "/metrics"})  # routes that machines ask every few seconds

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# No inline script. Inline styles: Swagger UI's and unfold's pages are full of them.
DOCS = (
    "default-src 'none'; img-src 'self' data:; font-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; script-src 'self'"
)
ADMIN = f"{DOCS} 'unsafe-eval'"  # unfold's menus and dialogs are Alpine, which compiles the attributes of the page
NO_DEVICES = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
CAMERA = NO_DEVICES.replace("camera=()", "camera=(self)")  # staff's pages scan with it


class RequestMiddleware(MiddlewareMixin):
    """Gives each request an id, the client's own if it sent a sane one; counts, times and logs it; says how long the
    answer is, as Django's CommonMiddleware does, which would refuse probes that name the host by its address."""

    def __call__(self, request: HttpRequest) -> Any:
        # In a copy of the context: what the request sets in it is forgotten with the request.
        return copy_context().run(self.serve, request)

    def serve(self, request: HttpRequest) -> Any:
        started = time.perf_counter()
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if SANE_ID.fullmatch(sent) and not holds_secret(sent) else str(uuid7())
        current_request.set(request)
        current_request_id.set(request_id)
        with metrics.IN_PROGRESS.track_inprogress():
            response: Any = self.get_response(request)
        seconds = time.perf_counter() - started
        metrics.count_request(request, response, seconds)
        quiet = metrics.route_of(request) in QUIET and response.status_code == 200
        # Without the query string: it may hold a secret by mistake.
        asked = cut(request.method or "", MAX_METHOD), cut(request.path, MAX_PATH)
        answer = {"status": response.status_code, "duration_ms": round(seconds * 1000, 1)}
        level = logging.DEBUG if quiet else logging.INFO
        access.log(level, "%s %s %s", *asked, response.status_code, extra={"answer": answer})
        response.headers["X-Request-ID"] = request_id
        if not response.streaming and "Content-Length" not in response.headers:
            response.headers["Content-Length"] = str(len(response.content))
        return response


class HeadersMiddleware(MiddlewareMixin):
    """`Content-Security-Policy`, `Permissions-Policy`, and for answers of the API `Cache-Control: no-store`: without it
    a shared cache might keep what was asked for by `X-API-Key`; only `Authorization` forbids that (RFC 9111, 3.5)."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        path = request.path_info
        if not (settings.DEBUG and response.status_code in (404, 500)):  # Django's own pages have inline scripts
            page = ADMIN if path.startswith("/admin/") else NOTHING
            response.headers.setdefault("Content-Security-Policy", DOCS if path == "/api/docs" else page)
        devices = CAMERA if path.startswith("/admin/") else NO_DEVICES
        response.headers.setdefault("Permissions-Policy", devices)
        if path.startswith("/api/v1/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class TrailingSlashMiddleware(MiddlewareMixin):
    """Lets API paths, whose routes have no trailing slash, work with one; and the admin's first one without. What a
    browser looks for at the root is the admin."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        path = request.path_info
        if path.endswith("/") and path.startswith(("/api/", "/health/")):
            request.path_info = path.rstrip("/")
        elif path == "/admin":
            request.path_info = "/admin/"
        elif path == "/" and "text/html" in request.headers.get("Accept", ""):
            return redirect("admin:index")
        return None
