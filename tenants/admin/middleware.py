"""What is about staff's pages only, around every request: whose rows they show, and how a page refuses."""

import math
import uuid
from collections.abc import Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from rest_framework.exceptions import APIException, Throttled

from ractory.api.middleware import current_caller
from tenants.models import User
from tenants.scope import Scope, every_company, within

STAFF_COMPANY = "staff_company"  # in the session: the guid of the company that a SystemAdmin has picked
# Pages about companies, and about the own account, which for a SystemAdmin is in none: the pick is not for them.
UNPICKED = ("admin:tenants_company_changelist", "admin:password_change")


class StaffMiddleware:
    """Starts every request in the scope of its staff member, or without one (the API enters its own: tenants.views),
    and leaves none behind. A refusal that no staff page has dealt with gets a page of its own, with its status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with within(_staff_scope(request) if _is_staff_page(request) else None):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, APIException) or not _is_staff_page(request):
            return None
        context = {**admin.site.each_context(request), "title": "Not now", "said": in_words(exception)}
        page = render(request, "tenants/refusal.html", context)
        add_status(exception, page)
        return page


def _is_staff_page(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")


def _staff_scope(request: HttpRequest) -> Scope | None:
    path = request.path_info
    if path == reverse("admin:login"):
        return Scope(None)  # whoever logs in is of no company yet
    with every_company():  # whose session it is decides the scope
        user = request.user
        if not isinstance(user, User):
            return None
        caller = user.as_caller()
        current_caller.set(caller)
        if not user.is_staff:
            return None
    if caller.company is not None:
        return Scope(caller.company)
    picked = None if path.startswith(tuple(map(reverse, UNPICKED))) else request.session.get(STAFF_COMPANY)
    return Scope(uuid.UUID(picked) if picked else None)


def in_words(refusal: APIException) -> str:
    if not isinstance(refusal, Throttled):
        return str(refusal.detail)
    wait, unit = getattr(refusal, "wait", None) or 1, "second"
    if wait > 60:
        wait, unit = math.ceil(wait / 60), "minute"
    return f"Too many {refusal.get_codes()}. Try again in {wait} {unit}{'s' if wait > 1 else ''}."


def add_status(refusal: APIException, page: HttpResponse) -> None:
    """Gives the page the status of the refusal, and what a program reads of it."""
    page.status_code = refusal.status_code
    if (wait := getattr(refusal, "wait", None)) is not None:
        page.headers["Retry-After"] = str(wait)
