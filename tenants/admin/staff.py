"""What every staff page shares: no count of all rows, nothing deleted for good; who is asking, and who did it."""

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import getmembers
from typing import Any, TypeVar, cast

from django.contrib.admin import ShowFacets
from django.contrib.admin.models import ADDITION, CHANGE
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator as UnfoldPaginator
from unfold.views import ChangeList

from tenants.admin.middleware import STAFF_COMPANY
from tenants.caller import Caller, Capability
from tenants.managing import record
from tenants.models import ApiKey, Company, User
from tenants.scope import current_scope, every_company
from tenants.templatetags.staff import moment

R = TypeVar("R")

MAX_SEARCH = 255  # characters of a search
MAX_PAGES = 100  # further on, an offset would cost what a count does; a filter gets there sooner


class InfinitePaginator(UnfoldPaginator):  # type: ignore[misc]  # unfold carries no types
    """Previous and next, without COUNT(*), up to a last page. The name is the one that unfold's templates look for."""

    template_name = "tenants/pages.html"

    @cached_property
    def count(self) -> int:
        return int(self.per_page) * MAX_PAGES


class StaffList(ChangeList):  # type: ignore[misc]  # unfold carries no types
    """In an order that the list offers: any other one in an address would have the database sort all rows."""

    def get_ordering_field(self, field_name: str) -> Any:
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
        """By one column, and by the key in the same direction: so an index has it."""
        first = str(super().get_ordering(request, queryset)[0])
        return [first, "-pk" if first.startswith("-") else "pk"]


def caller_of(request: HttpRequest) -> Caller:
    """The staff member; for views that admin_view() guards."""
    return cast(User, request.user).as_caller()


def may(request: HttpRequest, capability: Capability) -> bool:
    """Whether the staff member has this; in a template, `{% if "sync" in may %}`, with the values of Capability."""
    return capability in cast(User, request.user).capabilities


def require(request: HttpRequest, capability: Capability) -> None:
    """Raises PermissionDenied, which becomes a page that says who may (StaffMiddleware)."""
    if not may(request, capability):
        raise PermissionDenied(capability)


def at(address: str, requires: Capability = Capability.READ) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """The address of a StaffAdmin's view, `admin:<app>_<model>_<its name>`, for staff only. Who lacks what it requires
    gets a 403, in words; a link to it asks for the same: `{% if "sync" in may %}` in a template, elsewhere `may`."""

    def placed(view: Callable[..., R]) -> Callable[..., R]:
        @wraps(view)
        def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> R:
            require(request, requires)
            return view(self, request, *args, **kwargs)

        guarded.address = address  # type: ignore[attr-defined]
        return guarded

    return placed


class StaffAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """A list and a page for each row; what may be done there says `User.has_perm`."""

    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count
    list_per_page = 50
    list_disable_select_all = True
    list_filter_submit = True
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[StaffList]:
        return StaffList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Called what it lists."""
        title = capfirst(str(self.opts.verbose_name_plural))
        return cast(HttpResponse, super().changelist_view(request, {"title": title} | (extra_context or {})))

    @property
    def companies(self) -> tuple[str, ...]:
        """The column that says whose a row is, where there are several companies."""
        return ("company",) if hasattr(self.model, "company") and current_scope().company is None else ()

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        first, *rest = (name for name in super().get_list_display(request) if name != "company")
        return (first, *self.companies, *rest)

    def get_list_select_related(self, request: HttpRequest) -> tuple[str, ...]:
        return (*(self.list_select_related or ()), *self.companies)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters that a list offers: anything else in an address could be a search without an index."""
        return lookup in {getattr(one, "parameter_name", None) for one in self.get_list_filter(request)}

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Whatever points to a row of ours points to its guid; Django's own look breaks on the name of a relation."""
        return bool(to_field == self.opts.pk.name)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """403 for who sees no such rows, 404 for one that is not there. An empty name of a field is none."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = super().get_object(request, object_id, from_field or None)
        if found is None:
            raise Http404
        return found

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Each word becomes a condition, and a database takes so many of them."""
        return super().get_search_results(request, queryset, search_term[:MAX_SEARCH])

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            obj.switch_off()

    def created(self, row: Any) -> str:
        return moment(row.created_at)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        record(caller_of(request).guid, obj, ADDITION, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        record(caller_of(request).guid, obj, CHANGE, message)

    def page(self, request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
        """A page of our own in the admin's frame."""
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), "title": title, **context})

    def has_trash_permission(self, request: HttpRequest) -> bool:
        """For actions of a list that delete or restore: `@admin.action(permissions=["trash"])`."""
        return may(request, Capability.DELETE)

    def get_urls(self) -> list[URLPattern]:
        """Those of the views that stand `at` an address, then Django's own."""
        views = [getattr(self, name) for name, view in getmembers(type(self)) if hasattr(view, "address")]
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [path(view.address, self.admin_site.admin_view(view), name=f"{prefix}_{view.__name__}") for view in views]
        return [*own, *super().get_urls()]


def names_of(actors: Iterable[str | None]) -> dict[str, str]:
    """Each recorded actor, `user:<email>`, `api_key:<guid>` or `command:<name>`, as a person says it; by one query."""
    parts = {actor: actor.partition(":") for actor in actors if actor}
    keys = ApiKey.objects.filter(guid__in=[guid for kind, _, guid in parts.values() if kind == "api_key"])
    descriptions = {str(guid): description for guid, description in keys.values_list("guid", "description")}
    names = {}
    for actor, (kind, _, name) in parts.items():
        if kind == "api_key":
            names[actor] = f"key “{descriptions[name]}”" if descriptions.get(name) else f"key {name[:8]}…"
        else:
            names[actor] = f"manage.py {name}" if kind == "command" else name or actor
    return names


def frame(request: HttpRequest) -> dict[str, Any]:
    """For every page (UNFOLD settings): what its reader may do, whose data these are, or for a SystemAdmin could be."""
    user = request.user
    if not isinstance(user, User) or not user.is_staff:
        return {}
    if not user.is_superuser:
        return {"may": user.capabilities, "staff_company": user.company}
    with every_company():  # to choose from
        companies = list(Company.objects.order_by("name")[:500])
    return {"may": user.capabilities, "staff_companies": companies, "picked": request.session.get(STAFF_COMPANY)}
