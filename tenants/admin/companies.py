"""Companies, for SystemAdmins: making them, switching them off, and picking the one to look at."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern
from django.views.decorators.http import require_POST

from tenants.admin.middleware import STAFF_COMPANY
from tenants.admin.staff import StaffAdmin, is_system_admin
from tenants.models import Company


@admin.register(Company)
class CompanyAdmin(StaffAdmin):
    list_display = ("name", "is_active", "created_at", "guid")
    fields = ("name", "short_name", "is_active")
    ordering = ("name",)

    def save_model(self, request: HttpRequest, obj: Company, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            obj.switch_off()

    def get_urls(self) -> list[URLPattern]:
        return [self.route("pick/", require_POST(self.pick), "pick"), *super().get_urls()]

    def pick(self, request: HttpRequest) -> HttpResponse:
        """From now on this SystemAdmin's pages show one company, or every one."""
        if not is_system_admin(request):
            raise PermissionDenied
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
