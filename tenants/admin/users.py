"""Users: a CompanyAdmin manages those of the own company, a SystemAdmin everyone; nobody grants more than they have.
And everyone's own password."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse_lazy
from django.utils.safestring import SafeString
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserCreationForm

from ractory.api.middleware import current_request
from tenants.admin.staff import StaffAdmin, caller_of
from tenants.caller import Role
from tenants.logins import Attempt, LimitedBackend
from tenants.models import User
from tenants.scope import current_scope, of_company
from tenants.templatetags.staff import badge, moment

admin.site.unregister(Group)  # roles take their place; a group would be everyone's


class NewUserForm(UserCreationForm):  # type: ignore[misc]  # unfold carries no types
    class Meta:
        model = User
        fields = ("email", "role", "company")

    def clean(self) -> dict[str, Any]:
        """Before the constraints are checked: without a choice of company it is the scope's."""
        cleaned: dict[str, Any] = super().clean()
        if "company" not in self.fields:
            self.instance.company_guid = current_scope().company
        return cleaned


@admin.register(User)
class UserAdmin(StaffAdmin, DjangoUserAdmin):  # type: ignore[misc, type-arg]  # unfold carries no types
    add_form = NewUserForm
    add_form_template = None
    form = forms.ModelForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "role", "company", "state", "last_seen")
    list_select_related = ("company",)
    list_filter = ()
    filter_horizontal = ()
    search_fields = ("email",)
    search_help_text = "Part of an email address"
    ordering = ("email",)
    change_form_after_template = "tenants/set_password.html"
    readonly_fields = ("company", "email", "last_seen", "created")

    def state(self, user: User) -> SafeString:
        return badge("active", "good") if user.is_usable else badge("switched off", "off")

    @admin.display(description="Last login")
    def last_seen(self, user: User) -> str:
        return moment(user.last_login)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        if request.method == "POST":
            Attempt(request, caller_of(request).email, may_fail=False)
        return super().add_view(request, form_url, extra_context)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # Django's names
        if request.method == "POST":
            Attempt(request, caller_of(request).email, may_fail=False)
        return super().user_change_password(request, id, form_url)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            stored = User.objects.select_for_update().get(guid=obj.guid)
            stored.check_change(caller_of(request), role=obj.role, is_active=obj.is_active)
        super().save_model(request, obj, form, change)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        return of_company(super().get_queryset(request)).filter(User.visible_to(caller_of(request)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        company = () if current_scope().company else ("company",)
        new = ("email", "role", *company, "password1", "password2")
        stored = ("email", "company", "name", "surname", "role", "is_active", "last_seen", "created")
        return ((None, {"fields": stored if obj else new}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody locks themselves out."""
        if obj is None:
            return ()
        return (*self.readonly_fields, "role", "is_active") if obj == request.user else self.readonly_fields

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role":
            caller = caller_of(request)
            kwargs["choices"] = [("", "Choose …"), *(role for role in Role.choices if caller.may_grant(role[0]))]
        return super().formfield_for_choice_field(db_field, request, **kwargs)


class OwnPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]  # unfold carries no types
    def clean_old_password(self) -> str:
        """A wrong one is a failed login: a session that was left open is no way to guess at the password."""
        old: str = self.cleaned_data["old_password"]
        if LimitedBackend().authenticate(current_request.get(), self.user.email, old) is None:
            raise ValidationError(self.error_messages["password_incorrect"], "password_incorrect")
        return old


def password_change(request: HttpRequest) -> HttpResponseBase:
    """The admin's own page, which takes no form of ours."""
    request.current_app = admin.site.name
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse_lazy("admin:password_change_done"),
        extra_context=admin.site.each_context(request),
    )
    return view(request)
