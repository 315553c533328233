"""Companies, for SystemAdmins: making them, switching them off, and picking the one to look at. A CompanyAdmin
has the page of the own one, to say when to warn."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern
from django.views.decorators.http import require_POST

from tenants.admin.middleware import STAFF_COMPANY
from tenants.admin.staff import StaffAdmin, caller_of, may
from tenants.caller import Capability
from tenants.models import Company
from tenants.scope import of_company


@admin.register(Company)
class CompanyAdmin(StaffAdmin):
    list_display = ("name", "is_active", "created_at", "guid")
    fields = ("name", "short_name", "is_active", "sync_alert_hours")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Company]":
        return of_company(super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if may(request, Capability.MANAGE_COMPANIES) else ("name", "short_name", "is_active")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """A list of one would be a detour."""
        company = caller_of(request).company
        if company is not None and self.has_view_permission(request):
            return redirect("admin:tenants_company_change", company)
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: Company, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            obj.switch_off()

    def get_urls(self) -> list[URLPattern]:
        pick = self.route("pick/", require_POST(self.pick), "pick", Capability.MANAGE_COMPANIES)
        return [pick, *super().get_urls()]

    def pick(self, request: HttpRequest) -> HttpResponse:
        """From now on this SystemAdmin's pages show one company, or every one."""
        guid = request.POST.get("company", "")
        if guid:
            try:
                company = get_object_or_404(Company, guid=UUID(guid))
            except ValueError:
                return HttpResponse(status=400)
            request.session[STAFF_COMPANY] = str(company.guid)
        else:
            request.session.pop(STAFF_COMPANY, None)
        return redirect("admin:index")
