"""The four levels: their lists and pages, deletion with a preview, the search box. sync.admin registers them."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.safestring import SafeString

from pieces.admin.deleting import delete_many, guids_of, origin_of, preview_deletion
from pieces.admin.filters import DeletedFilter, by_parent, by_value, parent_in
from pieces.admin.finding import find
from pieces.admin.history import Event, deletion_events, deletions_of, told
from pieces.admin.linking import act_on, link_to, page_of, said, with_links
from pieces.admin.page import children_of, counts_of, crumbs_of, facts_of, with_parents
from pieces.admin.pictures import as_image
from pieces.admin.restoring import explained
from pieces.admin.trash import note_names
from pieces.models import Deletion, Entity, Operation, Pictured
from ractory.api.errors import Conflict
from tenants.admin.staff import StaffAdmin
from tenants.scope import current_scope
from tenants.templatetags.staff import badge, moment


class EntityAdmin(StaffAdmin):
    """Rows come in by sync and go by soft deletion; the list shows the last changed ones first."""

    list_before_template = "pieces/list_of.html"
    actions = ("delete_chosen",)
    columns: ClassVar[tuple[str, ...]]  # the fields that the list reads

    # --- the list ---

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Without pictures, and without the columns that the list does not show."""
        parents = self.list_select_related or ()
        rows: QuerySet[Any] = super().get_queryset(request).select_related(*parents)
        return rows.only("is_active", "updated_at", "company", *self.columns)

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        """An order that an index has: by time within one company, else, and below a filter, by guid."""
        filtered = any(name not in ("p", "deleted", "e") and value for name, value in request.GET.items())
        return ("guid",) if filtered or current_scope().company is None else ("-updated_at", "-guid")

    @admin.display(description="State")
    def state(self, entity: Entity) -> SafeString:
        return state_of(entity)

    @admin.display(description="Changed")
    def changed(self, entity: Entity) -> str:
        return moment(entity.updated_at)

    @admin.display(description="Component")
    def in_component(self, entity: Any) -> str:
        return link_to(entity.component)

    @admin.display(description="Project")
    def in_project(self, entity: Any) -> str:
        return link_to(entity.project)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        parents = (parent_in(request, kind) for kind in self.model.parents)
        below = next((parent for parent in parents if parent), None)
        response: HttpResponse = super().changelist_view(request, {"below": below, **(extra_context or {})})
        return response

    @admin.action(description="Delete …")
    def delete_chosen(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse:
        """To the preview; of the marked ones only, never of "all pages"."""
        chosen = queryset.filter(pk__in=request.POST.getlist("_selected_action")).values_list("guid", flat=True)
        return redirect(act_on(f"pieces_{self.model.kind}_remove", chosen.order_by("guid")))

    # --- the page ---

    def get_urls(self) -> list[URLPattern]:
        return [
            self.route("remove/", self.remove, "remove"),
            self.route("<uuid:guid>/picture/", self.picture, "picture"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        entity = self.entity_or_404(object_id)
        if entity.deletion:
            note_names([entity.deletion])
        return self.page(request, "pieces/entity.html", title=str(entity), **self.about(entity))

    def about(self, entity: Any) -> dict[str, Any]:
        deletions = deletions_of(entity)
        return {
            "entity": entity,
            "crumbs": crumbs_of(entity),
            "state": state_of(entity),
            "facts": facts_of(entity),
            "counts": counts_of(entity),
            "children": children_of(entity),
            "history": told(self.history(entity, deletions)),
            "urls": self.urls_of(entity),
        }

    def urls_of(self, entity: Any) -> dict[str, str]:
        picture = {"picture": reverse(f"admin:pieces_{entity.kind}_picture", args=[entity.guid])}
        if entity.deletion:
            return picture | {"restore": act_on("pieces_deletion_restore", [entity.deletion_guid])}
        return picture | {"remove": act_on(f"pieces_{entity.kind}_remove", [entity.guid])}

    def history(self, entity: Any, deletions: Sequence[Deletion]) -> list[Event]:
        return [Event(entity.created_at, "created", None), *deletion_events(entity, deletions)]

    def entity_or_404(self, guid: str | UUID) -> Any:
        try:
            entity = with_parents(self.model).filter(guid=UUID(str(guid))).first()
        except ValueError:
            entity = None
        if entity is None:
            raise Http404
        return entity

    def picture(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        rows = self.model.all_objects.filter(guid=guid)
        picture = rows.values_list("picture", flat=True).first() if issubclass(self.model, Pictured) else None
        if picture is None:
            raise Http404
        return as_image(bytes(picture))

    # --- deletion ---

    def remove(self, request: HttpRequest) -> HttpResponse:
        """The preview; posted, the act. A conflict is explained on the same page, and nothing has been done."""
        guids, conflict = guids_of(request), None
        if not self.model.all_objects.filter(guid__any_of=guids).exists():
            raise Http404
        if request.method == "POST":
            try:
                counts = delete_many(self.model, guids, origin=origin_of(request, Operation.DELETE))
            except Conflict as error:
                conflict = with_links(explained(str(error.detail)))
            else:
                self.message_user(request, f"In the trash: {said(counts)}.", messages.SUCCESS)
                return redirect(self._back(guids))
        preview = preview_deletion(self.model, guids)
        context = {"preview": preview, "said": said(preview.counts), "conflict": conflict, "back": self._back(guids)}
        return self.page(request, "pieces/remove.html", title="Delete?", **context)

    def _back(self, guids: Sequence[UUID]) -> str:
        """To the one entity's page, or to the list."""
        if len(guids) == 1:
            return page_of(self.model.kind, guids[0])
        return reverse(f"admin:pieces_{self.model.kind}_changelist")


def state_of(entity: Entity) -> SafeString:
    return badge("active", "good") if entity.is_active else badge("deleted", "bad")


class ProjectAdmin(EntityAdmin):
    columns = ("code", "company_name", "due_date", "in_production")
    list_display = ("code", "company_name", "due", "in_production", "state", "changed")
    list_filter = (DeletedFilter, by_value("code", "code"))

    @admin.display(description="Due")
    def due(self, project: Any) -> str:
        return moment(project.due_date)


class ComponentAdmin(EntityAdmin):
    columns = ("code", "designation", "quantity", "project__code")
    list_display = ("code", "in_project", "designation", "quantity", "state", "changed")
    list_select_related = ("project",)
    list_filter = (DeletedFilter, by_value("code", "code"), by_parent("project"))


class AssemblyAdmin(EntityAdmin):
    columns = ("trolley_cell", "trolley", "cell_number", "component__code")
    list_display = ("__str__", "in_component", "trolley", "cell_number", "state", "changed")
    list_select_related = ("component",)
    list_filter = (DeletedFilter, by_parent("project"), by_parent("component"))


class PieceAdmin(EntityAdmin):
    columns = ("piece_id", "barcode", "profile_code", "outer_length", "trolley_cell", "component__code")
    list_display = (
        "piece_id",
        "barcode",
        "in_component",
        "profile_code",
        "outer_length",
        "trolley_cell",
        "state",
        "changed",
    )
    list_select_related = ("component",)
    list_filter = (
        DeletedFilter,
        by_value("profile_code", "profile code"),
        by_value("trolley", "trolley"),
        by_value("trolley_cell", "trolley cell"),
        *(by_parent(kind) for kind in ("project", "component", "assembly")),
    )

    def get_urls(self) -> list[URLPattern]:
        return [self.route("find/", self.find, "find"), *super().get_urls()]

    def find(self, request: HttpRequest) -> HttpResponse:
        """What the search box asks: straight to the one that is meant, or a choice."""
        found = find(request.GET.get("q", ""))
        if found.only:
            return redirect(page_of(found.only.kind, found.only.guid))
        title = f"“{found.text}”" if found.text else "Find"
        return self.page(request, "pieces/find.html", title=title, found=found)
