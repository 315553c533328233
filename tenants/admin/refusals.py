"""What a person reads where a page of the staff refuses: that there have been too many logins, say, and until when."""

import math
from collections.abc import Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.exceptions import APIException, Throttled


class RefusalMiddleware:
    """Answers a refusal that no page of the staff has dealt with by a page of its own, with the refusal's status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, APIException) or not request.path_info.startswith("/admin/"):
            return None
        context = {**admin.site.each_context(request), "title": "Not now", "said": in_words(exception)}
        page = render(request, "tenants/refusal.html", context)
        note(exception, page)
        return page


def in_words(refusal: APIException) -> str:
    if not isinstance(refusal, Throttled):
        return str(refusal.detail)
    wait, unit = wait_of(refusal) or 1, "second"
    if wait > 60:
        wait, unit = math.ceil(wait / 60), "minute"
    return f"Too many {refusal.get_codes()}. Try again in {wait} {unit}{'s' if wait > 1 else ''}."


def note(refusal: APIException, page: HttpResponse) -> None:
    """Gives the page the status of the refusal, and what a program reads of it."""
    page.status_code = refusal.status_code
    if (wait := wait_of(refusal)) is not None:
        page.headers["Retry-After"] = str(wait)


def wait_of(refusal: APIException) -> int | None:
    """In seconds; None if waiting is of no use."""
    wait: int | None = getattr(refusal, "wait", None)
    return wait
