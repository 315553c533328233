"""What is about staff's pages only, around every request: whose rows they show, and how a page refuses."""

import math
import uuid
from collections.abc import Callable
from typing import cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from rest_framework.exceptions import APIException, Throttled

from ractory.api.middleware import current_caller
from tenants.caller import CAPABILITIES_AT_DESK, Role, needed_at_desk
from tenants.models import User
from tenants.scope import Scope, every_company, within

STAFF_COMPANY = "staff_company"  # in the session: the guid of the company that a SystemAdmin has picked
# Pages about companies, and about the own account, which for a SystemAdmin is in none: the pick is not for them.
UNPICKED = ("admin:tenants_company_changelist", "admin:password_change")
SWITCHED_AT = "switched_at"  # in the session: the address of the page on which that was


class StaffMiddleware:
    """Starts every request in the scope of its staff member, or without one (the API enters its own: tenants.views),
    and leaves none behind. A refusal that no staff page has dealt with gets a page of its own (refusal_page)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_staff_page = _is_staff_page(request)
        with within(_staff_scope(request) if is_staff_page else None):
            response = self.get_response(request)
            if is_staff_page and response.status_code == 405:
                response.content = refusal_page(request, 405, "Nothing to see").content
            return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not _is_staff_page(request):
            return None
        if isinstance(exception, APIException):
            page = refusal_page(request, exception.status_code, "Not done", in_words(exception))
            if (wait := getattr(exception, "wait", None)) is not None:
                page.headers["Retry-After"] = str(wait)
            return page
        if isinstance(exception, PermissionDenied):
            return refusal_page(request, 403, "Not for your role", who_may(request, exception))
        return refusal_page(request, 404, "Not found") if isinstance(exception, Http404) else None


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


def refusal_page(request: HttpRequest, status: int, title: str, said: str = "") -> HttpResponse:
    """Instead of a page: these words, or those of the status, in the frame of all pages, with a way back."""
    frame = admin.site.each_context(request)
    lists = [model for app in frame["available_apps"] for model in app["models"]]
    back = next((model for model in lists if request.path.startswith(model["admin_url"])), None)
    if status == 404 and request.session.pop(SWITCHED_AT, None) == request.path:
        return redirect(back["admin_url"] if back else "admin:index")
    context = {"title": title, "said": said, "status": status, "back": back}
    return render(request, "tenants/refusal.html", frame | context, status=status)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """For CSRF_FAILURE_VIEW: a form that is older than the login, mostly."""
    return refusal_page(request, 403, "Nothing was saved")


def who_may(request: HttpRequest, refusal: PermissionDenied) -> str:
    """The refusal as a text. Django's own has no capability, but a route that is named `<app>_<model>_<page>`."""
    _, model, page = str(request.resolver_match and request.resolver_match.url_name).split("_", 2)
    action = page if page in ("add", "delete") else "view"
    needed = refusal.args[0] if refusal.args else needed_at_desk(f"{action}_{model}")
    user = cast(User, request.user)
    if needed is None or needed in user.capabilities:
        return "Nobody may do this here, or not any more."
    roles = [role.label for role in Role if needed in CAPABILITIES_AT_DESK[role]]
    return f"Your role is {Role(user.role).label}. This takes another one: {' or '.join(roles)}."


def in_words(refusal: APIException) -> str:
    if not isinstance(refusal, Throttled):
        return str(refusal.detail)
    wait, unit = getattr(refusal, "wait", None) or 1, "second"
    if wait > 60:
        wait, unit = math.ceil(wait / 60), "minute"
    return f"Too many {refusal.get_codes()}. Try again in {wait} {unit}{'s' if wait > 1 else ''}."
