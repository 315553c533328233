"""The staff's login page says so when it was tried too often."""

import math
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework.exceptions import APIException
from unfold.forms import AuthenticationForm


class StaffLoginForm(AuthenticationForm):  # type: ignore[misc]  # unfold carries no types
    refusal: APIException | None = None

    def clean(self) -> Any:
        try:
            return super().clean()
        except APIException as refusal:
            self.refusal = refusal
            minutes = math.ceil(getattr(refusal, "wait", 0) / 60)
            message = f"Too many failed logins. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
            raise ValidationError(message, "throttled") from refusal


def login(request: HttpRequest) -> Any:
    """The admin's own page, with the status of a refusal."""
    response = admin.site.login(request)
    refusal = getattr(getattr(response, "context_data", {}).get("form"), "refusal", None)
    if refusal is not None:
        response.status_code = refusal.status_code
        response.headers["Retry-After"] = str(refusal.wait)
    return response


admin.site.login_form = StaffLoginForm
