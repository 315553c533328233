"""The staff's own password: to give it is a guess at a password, within the limits on logins."""

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse_lazy
from unfold.forms import AdminOwnPasswordChangeForm

from ractory.api.middleware import current_request
from tenants.logins import LimitedBackend


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
