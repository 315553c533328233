"""Every route of the site. API paths are written without a trailing slash (ractory.api.middleware)."""

from django.contrib import admin
from django.urls import path

from tenants.views import LoginView, MeView, RefreshView

handler400 = "ractory.api.errors.bad_request"
handler404 = "ractory.api.errors.not_found"
handler500 = "ractory.api.errors.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/auth/login", LoginView.as_view(), name="login"),
    path("api/v1/auth/refresh", RefreshView.as_view(), name="refresh"),
    path("api/v1/auth/me", MeView.as_view(), name="me"),
]
