"""The four levels: their lists and pages, changes by hand, deletion with a preview, the search box."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from pieces.admin.exporting import Exported
from pieces.admin.finding import BY_PROJECT, MAX_HITS, asked, beginning, by_choice, by_value, find, in_projects, meant
from pieces.admin.history import PER_PAGE, history_of, note_names
from pieces.admin.labels import Labelled
from pieces.admin.page import RASTER_IMAGE, about, crumbs_of, groups_of, label_of, with_parents
from pieces.admin.trash import confirm, delete_many, guids_of, preview_deletion
from pieces.filters import HistoryQuery
from pieces.models import Assembly, Component, Entity, Kind, Pictured, Piece, Project
from pieces.templatetags.entities import act_on, link_to, page_of
from ractory.api.errors import Conflict
from sync.admin.editing import edit, form_of
from tenants.admin.staff import at, caller_of
from tenants.caller import Capability
from tenants.templatetags.staff import badge, moment

# Deleted ones only would be a search without an index: that list is the trash.
DELETED = by_choice("deleted", "deleted ones", {"": ("hidden", Q(is_active=True)), "shown": ("shown", Q())})


class EntityAdmin(Exported):
    """Rows come in by sync and go by soft deletion; the list shows the last changed ones first."""

    list_before_template = "pieces/list_of.html"
    actions: tuple[str, ...] = ("delete_chosen",)
    empty_value_display = ""
    known_first: tuple[str, ...] = ()  # the columns that an index has in order, beside "changed"

    def get_queryset(self, request: HttpRequest) -> Any:
        return with_parents(self.model)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """What is below a parent, too: the page of that leads there."""
        return lookup in self.model.parent_columns() or super().lookup_allowed(lookup, value, request)

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """With the state only where it may differ."""
        without = () if request.GET.get("deleted") else ("state",)
        return tuple(name for name in super().get_list_display(request) if name not in without)

    def is_filtered(self, request: HttpRequest, *but: str) -> bool:
        """Whether less is shown than one company has: then an index has the rows in the order of their guids only."""
        ignored = ("p", "o", "e", "deleted", *but)
        return bool(self.companies) or any(value and name not in ignored for name, value in request.GET.items())

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        return ("guid",) if self.is_filtered(request) else ("-updated_at",)

    def get_sortable_by(self, request: HttpRequest) -> Sequence[str]:
        return () if self.is_filtered(request) else (*self.known_first, "changed")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """What begins with the text, in the order of what begins so; else what is in projects of which that holds."""
        if not (text := asked(search_term)):
            return queryset, False
        field, found = beginning(queryset, self.search_fields, text)
        if field is None and Kind.PROJECT in self.model.parents:
            field, found = "project", in_projects(queryset, text)
        request.found_by = label_of(self.model._meta.get_field(field)) if field else None  # type: ignore[attr-defined]
        return found.order_by("guid") if self.is_filtered(request, "q") else found, False

    def state(self, entity: Entity) -> SafeString:
        return badge("active", "good") if entity.is_active else badge("deleted", "bad")

    @admin.display(ordering="updated_at")
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

    @method_decorator(require_safe)
    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        entity = self.get_object(request, object_id)
        if entity.deletion:
            note_names([entity.deletion])
        changes, older = history_of(entity, replace(HistoryQuery(request.GET).page(), limit=PER_PAGE))
        context = about(entity) | {"state": self.state(entity), "changes": changes, "cursor": older}
        return self.page(request, "pieces/entity.html", title=str(entity), **context)

    @at("<uuid:guid>/picture/")
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

    @at("<uuid:guid>/edit/", Capability.SYNC)
    def edit(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """The form; sent, what it would change; sent again with that, the change. Refused at the fields."""
        entity = self.get_object(request, str(guid))
        if not entity.is_active:
            self.message_user(request, "What is deleted can't be changed. Nothing was saved.", messages.ERROR)
            return redirect(page_of(entity.kind, guid))
        form = form_of(self.model)(request.POST or None, request.FILES or None, initial=vars(entity))
        context = {"entity": entity, "form": form, "crumbs": crumbs_of(entity)}
        if form.is_bound:
            try:
                changes, shown, saved = edit(form, entity, caller=caller_of(request))
            except Conflict:  # since the entity was read, just now
                return self.edit(request, guid)
            if saved is not None:
                said = f"Saved: {', '.join(saved)}." if saved else "Nothing was changed."
                self.message_user(request, said, messages.SUCCESS if saved else messages.INFO)
                return redirect(page_of(entity.kind, guid))
            by_both = any(change.by_both for change in changes)
            context |= {"changes": changes, "shown": shown, "by_both": by_both}
        groups = [(title, [form[field.attname] for field in fields]) for title, fields in groups_of(self.model).items()]
        pictures = [form[name] for name in ("picture", "no_picture") if name in form.fields]
        context |= {"groups": groups, "pictures": pictures}
        return self.page(request, "sync/edit.html", title=f"Edit {entity}", **context)

    @at("remove/", Capability.DELETE)
    def remove(self, request: HttpRequest) -> HttpResponse:
        guids = guids_of(request)
        get_list_or_404(self.model.all_objects.filter(guid__any_of=guids).values("guid"))
        the_list = reverse(f"admin:pieces_{self.model.kind}_changelist")
        back = page_of(self.model.kind, guids[0]) if len(guids) == 1 else the_list
        act = partial(delete_many, self.model, guids, request=request)
        preview = preview_deletion(self.model, guids)
        return confirm(self, request, act, back, "pieces/remove.html", title="Delete?", **preview)


@admin.register(Project)
class ProjectAdmin(EntityAdmin):
    list_display = ("code", "company_name", "due", "in_production", "state", "changed")
    list_filter = (DELETED, by_value("code"))
    known_first = ("code",)
    search_fields = ("code", "company_name")
    search_help_text = "Code or customer begins with …"

    def due(self, project: Any) -> str:
        return moment(project.due_date)


@admin.register(Component)
class ComponentAdmin(EntityAdmin):
    list_display = ("code", "in_project", "designation", "quantity", "state", "changed")
    list_filter = (DELETED, by_value("code"), BY_PROJECT)
    known_first = ("code",)
    search_fields = ("code",)
    search_help_text = "Code, project or customer begins with …"


@admin.register(Assembly)
class AssemblyAdmin(EntityAdmin):
    list_display = ("__str__", "in_project", "in_component", "trolley", "cell_number", "state", "changed")
    list_filter = (DELETED, BY_PROJECT)


@admin.register(Piece)
class PieceAdmin(Labelled, EntityAdmin):
    actions = (*EntityAdmin.actions, "print_labels")
    list_display = (
        *("piece_id", "barcode", "in_project", "in_component", "profile_code", "outer_length", "trolley_cell"),
        *("state", "changed"),
    )
    list_filter = (DELETED, BY_PROJECT, *(by_value(field) for field in ("profile_code", "trolley", "trolley_cell")))
    known_first = ("piece_id",)
    search_fields = ("piece_id", "barcode")
    search_help_text = "Piece id, barcode, project or customer begins with …"

    @at("find/")
    def find(self, request: HttpRequest) -> HttpResponse:
        """What the search box asks: straight to the one that is meant, or a choice."""
        text = asked(request.GET.get("q"))
        hits = find(text)
        if entity := meant(hits):
            return redirect(page_of(entity.kind, entity.guid))
        title = f"“{text}”" if text else "Find"
        return self.page(request, "pieces/find.html", title=title, text=text, hits=hits, most=MAX_HITS)
