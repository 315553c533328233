"""The trash: deletions that can be undone, what each would bring back, and bringing it back."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter

from pieces.admin.deleting import guids_of, origin_of, total
from pieces.admin.linking import act_on, names_by_guid, page_of, said, with_links
from pieces.admin.restoring import explained, preview_restore, restore_many
from pieces.models import Deletion, Kind, Operation
from ractory.api.errors import Conflict
from tenants.admin.actors import names_of
from tenants.admin.staff import StaffAdmin
from tenants.templatetags.staff import badge, moment


class StateFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
    title = "state"
    parameter_name = "state"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("", "in the trash"), ("restored", "restored"), ("all", "all"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if self.value() == "all":
            return queryset
        if self.value() == "restored":
            return queryset.filter(restored_at__isnull=False)
        return queryset.filter(restored_at=None, purged_at=None)


class KindFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
    title = "what"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(kind, f"{kind}s".replace("ys", "ies")) for kind in Kind.values]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Deletion)
class DeletionAdmin(StaffAdmin):
    """Newest first by guid (UUIDv7)."""

    list_display = ("what", "took", "deleted", "who", "state")
    list_display_links = None
    list_filter = (StateFilter, KindFilter)
    ordering = ("-guid",)
    actions = ("restore_selected",)

    @admin.display(description="Deleted")
    def what(self, deletion: Any) -> SafeString:
        url = page_of(deletion.kind, deletion.root_guid)
        return format_html('{} <a href="{}"><b>{}</b></a>', deletion.kind, url, deletion.root_name)

    @admin.display(description="With it went")
    def took(self, deletion: Deletion) -> str:
        counts = total([deletion])
        root = next(iter(counts))
        return said({**counts, root: 0})

    @admin.display(description="When")
    def deleted(self, deletion: Deletion) -> str:
        return moment(deletion.created_at)

    @admin.display(description="By")
    def who(self, deletion: Any) -> str:
        return str(deletion.actor_name)

    @admin.display(description="State")
    def state(self, deletion: Any) -> SafeString:
        if deletion.restored_at is None and deletion.purged_at is not None:
            return badge("being purged", "bad")
        if deletion.restored_at is None:
            url = act_on("pieces_deletion_restore", [deletion.guid])
            return format_html('<a class="button" href="{}">Restore …</a>', url)
        return format_html("{} {} by {}", badge("restored", "good"), moment(deletion.restored_at), deletion.restorer)

    @admin.action(description="Restore …")
    def restore_selected(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse:
        """To the preview; of the marked ones only, never of "all pages"."""
        chosen = queryset.filter(pk__in=request.POST.getlist("_selected_action")).values_list("guid", flat=True)
        return redirect(act_on("pieces_deletion_restore", chosen))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Gives the rows of the page the names that they show; one query per level, one for keys."""
        listed = super().get_changelist_instance(request)
        note_names(listed.result_list)
        return listed

    def get_urls(self) -> list[URLPattern]:
        return [self.route("restore/", self.restore, "restore"), *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect(f"{act_on('pieces_deletion_restore', [])}guid={object_id}")

    def restore(self, request: HttpRequest) -> HttpResponse:
        """The preview; posted, the act. A conflict is explained on the same page, and nothing has been done."""
        guids, conflict = guids_of(request), None
        if not Deletion.objects.filter(guid__any_of=guids).exists():
            raise Http404
        if request.method == "POST":
            try:
                counts = restore_many(guids, origin=origin_of(request, Operation.RESTORE))
            except Conflict as error:
                conflict = with_links(explained(str(error.detail)))
            else:
                self.message_user(request, f"Restored: {said(counts)}.", messages.SUCCESS)
                return redirect(self._after(guids))
        preview = preview_restore(guids)
        note_names(preview.roots)
        return self.page(
            request,
            "pieces/restore.html",
            title="Restore?",
            preview=preview,
            said=said(preview.counts),
            conflict=conflict,
        )

    @staticmethod
    def _after(guids: Sequence[Any]) -> str:
        """To the one that came back, or to the trash."""
        if len(guids) == 1:
            deletion = Deletion.objects.get(guid=guids[0])
            return page_of(deletion.kind, deletion.root_guid)
        return "admin:pieces_deletion_changelist"


def note_names(deletions: Sequence[Any]) -> None:
    """Gives each deletion the names of its root and of who deleted and restored it."""
    roots = names_by_guid((deletion.kind, deletion.root_guid) for deletion in deletions)
    actors = names_of(actor for deletion in deletions for actor in (deletion.actor, deletion.restored_by))
    for deletion in deletions:
        deletion.root_name = roots.get(deletion.root_guid, deletion.root_guid)
        deletion.actor_name = actors.get(deletion.actor, deletion.actor)
        deletion.restorer = actors.get(deletion.restored_by or "", deletion.restored_by)
