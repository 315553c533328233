"""The four levels: their lists and pages, deletion with a preview, the search box. sync.admin registers them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, get_object_or_404, redirect
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from pieces.admin.filters import by_choice, by_parent, by_value
from pieces.admin.finding import MAX_HITS, find
from pieces.admin.history import PER_PAGE, history_of
from pieces.admin.page import COLUMNS, about, with_parents
from pieces.admin.trash import confirm, delete_many, guids_of, note_names, preview_deletion
from pieces.filters import HistoryQuery
from pieces.models import Entity, Kind, Pictured
from pieces.templatetags.entities import act_on, link_to, page_of
from tenants.admin.staff import StaffAdmin
from tenants.caller import Capability
from tenants.scope import current_scope
from tenants.templatetags.staff import badge, moment

# Deleted ones only would be a search without an index: that list is the trash.
DELETED = by_choice("deleted", "deleted ones", {"": ("hidden", Q(is_active=True)), "shown": ("shown", Q())})
# How one begins, by the second half of its media type.
RASTER_IMAGE = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8)|(?P<bmp>BM)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)


class EntityAdmin(StaffAdmin):
    """Rows come in by sync and go by soft deletion; the list shows the last changed ones first."""

    list_before_template = "pieces/list_of.html"
    actions = ("delete_chosen",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Without pictures, and without the columns that the list does not show."""
        rows: QuerySet[Any] = super().get_queryset(request)
        codes = (f"{parent}__code" for parent in self.list_select_related or ())
        return rows.only("is_active", "updated_at", "company", *COLUMNS[self.model], *codes)

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        """An order that an index has: by time within one company, else, and below a filter, by guid."""
        filtered = any(name not in ("p", "deleted", "e") and value for name, value in request.GET.items())
        return ("guid",) if filtered or current_scope().company is None else ("-updated_at", "-guid")

    def state(self, entity: Entity) -> SafeString:
        return badge("active", "good") if entity.is_active else badge("deleted", "bad")

    def changed(self, entity: Entity) -> str:
        return moment(entity.updated_at)

    @admin.display(description="Component")
    def in_component(self, entity: Any) -> str:
        return link_to(entity.component)

    @admin.display(description="Project")
    def in_project(self, entity: Any) -> str:
        return link_to(entity.project)

    @admin.action(description="Delete …", permissions=["trash"])
    def delete_chosen(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse:
        return redirect(act_on(f"pieces_{self.model.kind}_remove", request.POST.getlist("_selected_action")))

    def get_urls(self) -> list[URLPattern]:
        return [
            self.route("remove/", self.remove, "remove", Capability.DELETE),
            self.route("<uuid:guid>/picture/", self.picture, "picture"),
            *super().get_urls(),
        ]

    @method_decorator(require_safe)
    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        entity = self.entity_or_404(object_id)
        if entity.deletion:
            note_names([entity.deletion])
        changes, older = history_of(entity, replace(HistoryQuery(request.GET).page(), limit=PER_PAGE))
        context = about(entity) | {"state": self.state(entity), "urls": self.urls_of(entity)}
        context |= {"changes": changes, "cursor": older}
        return self.page(request, "pieces/entity.html", title=str(entity), **context)

    def urls_of(self, entity: Any) -> dict[str, str]:
        picture = {"picture": reverse(f"admin:pieces_{entity.kind}_picture", args=[entity.guid])}
        if entity.deletion:
            return picture | {"restore": act_on("pieces_deletion_restore", [entity.deletion_guid])}
        return picture | {"remove": act_on(f"pieces_{entity.kind}_remove", [entity.guid])}

    def entity_or_404(self, guid: str | UUID) -> Any:
        try:
            return get_object_or_404(with_parents(self.model), guid=guid)
        except ValidationError as error:  # no UUID
            raise Http404 from error

    def picture(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """As such if it is a raster image; all else, an SVG with a script say, is a download that nothing runs."""
        rows = self.model.all_objects.filter(guid=guid)
        picture = rows.values_list("picture", flat=True).first() if issubclass(self.model, Pictured) else None
        if picture is None:
            raise Http404
        raster = RASTER_IMAGE.match(picture)
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox"}
        if raster is None:
            headers["Content-Disposition"] = 'attachment; filename="picture.bin"'
        content_type = f"image/{raster.lastgroup}" if raster else "application/octet-stream"
        return HttpResponse(picture, content_type=content_type, headers=headers)

    def remove(self, request: HttpRequest) -> HttpResponse:
        guids = guids_of(request)
        get_list_or_404(self.model.all_objects.filter(guid__any_of=guids).values("guid"))
        the_list = reverse(f"admin:pieces_{self.model.kind}_changelist")
        return confirm(
            self,
            request,
            "pieces/remove.html",
            title="Delete?",
            preview=lambda: preview_deletion(self.model, guids),
            act=lambda: delete_many(self.model, guids, request=request),
            done="In the trash",
            back=page_of(self.model.kind, guids[0]) if len(guids) == 1 else the_list,
        )


class ProjectAdmin(EntityAdmin):
    list_display = ("code", "company_name", "due", "in_production", "state", "changed")
    list_filter = (DELETED, by_value("code"))

    def due(self, project: Any) -> str:
        return moment(project.due_date)


class ComponentAdmin(EntityAdmin):
    list_display = ("code", "in_project", "designation", "quantity", "state", "changed")
    list_select_related = ("project",)
    list_filter = (DELETED, by_value("code"), by_parent(Kind.PROJECT))


class AssemblyAdmin(EntityAdmin):
    list_display = ("__str__", "in_component", "trolley", "cell_number", "state", "changed")
    list_select_related = ("component",)
    list_filter = (DELETED, by_parent(Kind.PROJECT), by_parent(Kind.COMPONENT))


class PieceAdmin(EntityAdmin):
    list_display = (
        *("piece_id", "barcode", "in_component", "profile_code", "outer_length", "trolley_cell"),
        *("state", "changed"),
    )
    list_select_related = ("component",)
    list_filter = (
        DELETED,
        *(by_value(field) for field in ("profile_code", "trolley", "trolley_cell")),
        *(by_parent(kind) for kind in (Kind.PROJECT, Kind.COMPONENT, Kind.ASSEMBLY)),
    )

    def get_urls(self) -> list[URLPattern]:
        return [self.route("find/", self.find, "find"), *super().get_urls()]

    def find(self, request: HttpRequest) -> HttpResponse:
        """What the search box asks: straight to the one that is meant, or a choice."""
        found = find(request.GET.get("q", ""))
        if found.only:
            return redirect(page_of(found.only.kind, found.only.guid))
        title = f"“{found.text}”" if found.text else "Find"
        return self.page(request, "pieces/find.html", title=title, found=found, most=MAX_HITS)
