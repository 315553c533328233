"""Every route of the site. API paths are written without a trailing slash (ractory.api.middleware)."""

from django.contrib import admin
from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from pieces.views import AssemblyViewSet, ComponentViewSet, PieceViewSet, ProjectViewSet
from ractory.api.envelope import no_page, unknown
from ractory.api.meta import DocsView, HealthView, LivenessView, SchemaView
from ractory.api.metrics import UNKNOWN, metrics
from sync.feed import ChangesView
from sync.runs import RunViewSet
from sync.sets import SnapshotViewSet
from sync.views import SYNC_VIEWS
from tenants.admin.users import password_change
from tenants.managing import ApiKeyViewSet, CompanyViewSet, UserViewSet
from tenants.views import LoginView, MeView, RefreshView

handler400 = "ractory.api.envelope.bad_request"
handler404 = "ractory.api.envelope.not_found"
handler500 = "ractory.api.envelope.server_error"

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
for view in (ProjectViewSet, ComponentViewSet, AssemblyViewSet, PieceViewSet):
    router.register(view.model.plural, view, view.model.kind)
router.register("sync/runs", RunViewSet, "sync-run")
router.register("sync/snapshots", SnapshotViewSet, "snapshot")
router.register("companies", CompanyViewSet, "company")
router.register("users", UserViewSet, "user")
router.register("api-keys", ApiKeyViewSet, "api-key")

urlpatterns = [
    path("admin/password_change/", admin.site.admin_view(password_change, cacheable=True)),
    re_path("^admin/(?:search/|autocomplete/|r/.*|pieces/|sync/|tenants/)$", no_page, name=UNKNOWN),
    path("admin/", admin.site.urls),
    path("health", LivenessView.as_view(), name="liveness"),
    path("metrics", metrics, name="metrics"),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs", DocsView.as_view(), name="docs"),
    path("api/v1/health", HealthView.as_view(), name="health"),
    path("api/v1/auth/login", LoginView.as_view(), name="login"),
    path("api/v1/auth/refresh", RefreshView.as_view(), name="refresh"),
    path("api/v1/auth/me", MeView.as_view(), name="me"),
    *(path(f"api/v1/sync/{sync.model.plural}", sync.as_view()) for sync in SYNC_VIEWS),
    path("api/v1/changes", ChangesView.as_view(), name="changes"),
    path("api/v1/", include(router.urls)),
    path("api/<path:rest>", unknown, name=UNKNOWN),
]
