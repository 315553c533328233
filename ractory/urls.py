"""Every route of the site. API paths are written without a trailing slash (ractory.api.middleware)."""

from django.contrib import admin
from django.urls import path

from sync.views import SyncAssembliesView, SyncComponentsView, SyncPiecesView, SyncProjectsView
from tenants.views import LoginView, MeView, RefreshView

handler400 = "ractory.api.envelope.bad_request"
handler404 = "ractory.api.envelope.not_found"
handler500 = "ractory.api.envelope.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/auth/login", LoginView.as_view(), name="login"),
    path("api/v1/auth/refresh", RefreshView.as_view(), name="refresh"),
    path("api/v1/auth/me", MeView.as_view(), name="me"),
    path("api/v1/sync/projects", SyncProjectsView.as_view(), name="sync-projects"),
    path("api/v1/sync/components", SyncComponentsView.as_view(), name="sync-components"),
    path("api/v1/sync/assemblies", SyncAssembliesView.as_view(), name="sync-assemblies"),
    path("api/v1/sync/pieces", SyncPiecesView.as_view(), name="sync-pieces"),
]
