"""The trash: deletions that can be undone, what each would bring back, and bringing it back."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pieces.admin.acts import ConfirmingAdmin, guids_of, note_names, preview_restore, restore_many
from pieces.admin.filters import by_choice
from pieces.models import LEVELS, Deletion, Project
from pieces.names import counts_in_words
from pieces.templatetags.entities import act_on, page_of
from tenants.templatetags.staff import badge, moment

STATES = {
    "": ("in the trash", Q(restored_at=None, purged_at=None)),
    "restored": ("restored", Q(restored_at__isnull=False)),
    "all": ("all", Q()),
}
KINDS = {"": ("All", Q())} | {level.kind.value: (level.plural, Q(kind=level.kind.value)) for level in LEVELS}


@admin.register(Deletion)
class DeletionAdmin(ConfirmingAdmin):
    """Newest first by guid (UUIDv7)."""

    list_display = ("deleted", "with_it_went", "when", "by", "state")
    list_display_links = None
    list_filter = (by_choice("state", "state", STATES), by_choice("what", "what", KINDS))
    ordering = ("-guid",)
    actions = ("restore_selected",)

    def deleted(self, deletion: Any) -> SafeString:
        url = page_of(deletion.kind, deletion.root_guid)
        return format_html('{} <a href="{}"><b>{}</b></a>', deletion.kind, url, deletion.root_name)

    def with_it_went(self, deletion: Deletion) -> str:
        return counts_in_words({level.plural: getattr(deletion, level.plural) for level in Project.below()})

    def when(self, deletion: Deletion) -> str:
        return moment(deletion.created_at)

    def by(self, deletion: Any) -> str:
        return str(deletion.actor_name)

    def state(self, deletion: Any) -> SafeString:
        if deletion.restored_at:
            restored = badge("restored", "good")
            return format_html("{} {} by {}", restored, moment(deletion.restored_at), deletion.restorer)
        if deletion.purged_at:
            return badge("being purged", "bad")
        url = act_on("pieces_deletion_restore", [deletion.guid])
        return format_html('<a class="button" href="{}">Restore …</a>', url)

    @admin.action(description="Restore …")
    def restore_selected(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse:
        return self.to_preview(request, queryset, "pieces_deletion_restore")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Gives the rows of the page the names that they show; one query per level, one for keys."""
        listed = super().get_changelist_instance(request)
        note_names(listed.result_list)
        return listed

    def get_urls(self) -> list[URLPattern]:
        return [self.route("restore/", self.restore, "restore"), *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect(act_on("pieces_deletion_restore", [object_id]))

    def restore(self, request: HttpRequest) -> HttpResponse:
        guids = guids_of(request)
        first = get_list_or_404(Deletion.objects.filter(guid__any_of=guids))[0]
        return self.confirm(
            request,
            "pieces/restore.html",
            title="Restore?",
            preview=lambda: preview_restore(guids),
            act=lambda: restore_many(guids, request=request),
            done="Restored",
            back=page_of(first.kind, first.root_guid) if len(guids) == 1 else "admin:pieces_deletion_changelist",
        )
