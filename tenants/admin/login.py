"""The staff's login and their own password: both are guesses at a password, within the limits on logins."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse_lazy
from rest_framework.exceptions import APIException
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm

from ractory.api.middleware import current_caller, current_request
from tenants.admin.middleware import add_status, in_words
from tenants.logins import LimitedBackend


class StaffLoginForm(AuthenticationForm):  # type: ignore[misc]  # unfold carries no types
    refusal: APIException | None = None

    def clean(self) -> Any:
        try:
            return super().clean()
        except APIException as refusal:
            self.refusal = refusal
            raise ValidationError(in_words(refusal), "throttled") from refusal


def login(request: HttpRequest) -> Any:
    """The admin's own page, with the status of a refusal."""
    response = admin.site.login(request)
    user: Any = request.user
    if user.is_authenticated:
        current_caller.set(user.as_caller())
    refusal = getattr(getattr(response, "context_data", {}).get("form"), "refusal", None)
    if refusal is not None:
        add_status(refusal, response)
    return response


admin.site.login_form = StaffLoginForm


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
