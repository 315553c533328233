"""Companies: SystemAdmins make them, switch them off, and pick the one to look at; a CompanyAdmin has the own one."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from tenants.admin.middleware import STAFF_COMPANY, SWITCHED_AT
from tenants.admin.staff import StaffAdmin, at, may
from tenants.caller import Capability
from tenants.models import Company
from tenants.scope import of_company


@admin.register(Company)
class CompanyAdmin(StaffAdmin):
    list_display = ("name", "is_active", "created", "guid")
    fields = ("name", "short_name", "is_active", "sync_alert_hours")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Company]":
        return of_company(super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if may(request, Capability.MANAGE_COMPANIES) else ("name", "short_name", "is_active")

    @at("pick/", Capability.MANAGE_COMPANIES)
    def pick(self, request: HttpRequest) -> HttpResponse:
        """From now on this SystemAdmin's pages show one company, or every one. The page that this was done on comes
        again, without what is about the other company; if there is none any more, its list does (refusal_page)."""
        home = reverse("admin:index")
        if request.method != "POST":  # after a login that has come in between
            return redirect(home)
        here, _, query = request.POST.get("next", home).partition("?")
        guid = request.POST.get("company", "")
        request.session[STAFF_COMPANY] = guid and str(self.get_object(request, guid).guid)
        request.session[SWITCHED_AT] = here
        kept = [(name, value) for name, value in parse_qsl(query) if name != "p" and not name.endswith("_guid")]
        return redirect(f"{here}?{urlencode(kept)}".rstrip("?") if here.startswith(home) else home)
