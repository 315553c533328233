"""The trash, and what goes there, one or many: counted first; then all of it is deleted or nothing. What comes back:
pieces.admin.restoring."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.admin.exporting import Exported
from pieces.admin.filters import by_choice
from pieces.admin.history import note_names, runs_in_words
from pieces.admin.restoring import preview_restore, restore_many
from pieces.changes import Acts, soft_delete
from pieces.models import LEVELS, Act, Deletion, Entity, Operation, Project
from pieces.names import counts_in_words, found_by_guid
from pieces.templatetags.entities import act_on, page_of, place
from ractory.api.errors import Conflict
from ractory.api.retry import in_transaction
from tenants.admin.staff import StaffAdmin, caller_of
from tenants.caller import Capability
from tenants.templatetags.staff import NOTHING, badge, moment

MAX_AT_ONCE = 100  # roots in one act
STATES = {
    "": ("in the trash", Q(restored_at=None, purged_at=None)),
    "restored": ("restored", Q(restored_at__isnull=False)),
    "all": ("all", Q()),
}
KINDS = {"": ("All", Q())} | {level.kind.value: (level.plural, Q(kind=level.kind.value)) for level in LEVELS}


def confirm(
    model_admin: StaffAdmin,
    request: HttpRequest,
    template: str,
    *,
    title: str,
    preview: Callable[[], dict[str, Any]],
    act: Callable[[], str],
    back: str,
) -> HttpResponse:
    """The page of the preview; posted, the act, which says what it did. A conflict is told on the same page, and
    nothing is done."""
    conflict = None
    if request.method == "POST":
        try:
            done = in_transaction(act)
        except Conflict as error:
            conflict = error.detail
        else:
            model_admin.message_user(request, done, messages.SUCCESS)
            return redirect(back)
    return model_admin.page(request, template, title=title, **preview(), conflict=conflict, back=back)


@admin.register(Deletion)
class DeletionAdmin(Exported):
    """Newest first by guid (UUIDv7)."""

    list_display = ("deleted", "project", "with_it_went", "when", "by", "state")
    list_display_links = None
    list_filter = (by_choice("state", "state", STATES), by_choice("what", "what", KINDS))
    ordering = ("-guid",)
    actions = ("restore_selected",)

    def deleted(self, deletion: Any) -> SafeString:
        url = page_of(deletion.kind, deletion.root_guid)
        return format_html('{} <a href="{}"><b>{}</b></a>', deletion.kind, url, deletion.root_name)

    @admin.display(description="In")
    def project(self, deletion: Any) -> SafeString | str:
        return place(deletion.root) or NOTHING

    def with_it_went(self, deletion: Deletion) -> str:
        return counts_in_words({level.plural: getattr(deletion, level.plural) for level in Project.below()})

    def when(self, deletion: Deletion) -> str:
        return moment(deletion.created_at)

    def by(self, deletion: Any) -> SafeString:
        return format_html("{} {}", deletion.actor_name, deletion.run)

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
        # What is marked, never "all pages".
        return redirect(act_on("pieces_deletion_restore", request.POST.getlist("_selected_action")))

    def note_rows(self, rows: Sequence[Any]) -> None:
        """One query per level, for keys, acts and runs."""
        note_names(rows)
        # A deletion's own run would say nothing more.
        acts = Act.objects.exclude(operation=Operation.DELETE).filter(guid__in=[each.act_guid for each in rows])
        of_act = dict(acts.values_list("guid", "run_guid"))
        runs = runs_in_words(of_act.values())
        for deletion in rows:
            deletion.run = runs.get(of_act.get(deletion.act_guid), "")

    def get_urls(self) -> list[URLPattern]:
        return [self.route("restore/", self.restore, "restore", Capability.DELETE), *super().get_urls()]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        self.get_object(request, object_id)  # if it is there
        return redirect(act_on("pieces_deletion_restore", [object_id]))

    def restore(self, request: HttpRequest) -> HttpResponse:
        guids = guids_of(request)
        first = get_list_or_404(Deletion.objects.filter(guid__any_of=guids))[0]
        return confirm(
            self,
            request,
            "pieces/restore.html",
            title="Restore?",
            preview=lambda: preview_restore(guids),
            act=lambda: restore_many(guids, request=request, fitting="fitting" in request.POST),
            back=page_of(first.kind, first.root_guid) if len(guids) == 1 else "admin:pieces_deletion_changelist",
        )


def guids_of(request: HttpRequest) -> list[uuid.UUID]:
    """The guids that a page was asked for, in its address or its form; those that are none are left out."""
    found = []
    for text in (request.POST if request.method == "POST" else request.GET).getlist("guid")[:MAX_AT_ONCE]:
        with suppress(ValueError):
            found.append(uuid.UUID(text))
    return found


def preview_deletion(model: type[Entity], guids: Sequence[uuid.UUID]) -> dict[str, Any]:
    """For the template: the active ones of `guids`, and how many rows of each level would go; one query per level."""
    roots = [root for root in found_by_guid((model.kind, guid) for guid in guids).values() if root.is_active]
    found = [root.guid for root in roots]
    below = {level.plural: level.objects.in_any_of(model.kind, found).count() for level in model.below()}
    return {"roots": roots, "said": counts_in_words({model.plural: len(roots), **below})}


def delete_many(model: type[Entity], guids: Sequence[uuid.UUID], *, request: HttpRequest) -> str:
    """Deletes all of `guids`, each a deletion of its own, within a transaction; says how many rows went. Raises
    Conflict, and deletes nothing, if one of them is not active any more."""
    rows = model.objects.select_for_update(no_key=True).filter(guid__any_of=guids).order_by("guid")
    roots = list(rows.values_list("guid", "company_guid"))
    if len(roots) < len(set(guids)):
        raise Conflict("Some of these have been deleted meanwhile. Nothing was done; look again.")
    deletions = [Deletion(company_guid=company, kind=model.kind.value, root_guid=guid) for guid, company in roots]
    acts = Acts(Origin(Operation.DELETE, caller_of(request).actor, run=uuid7()))
    soft_delete(deletions, acts=acts)
    acts.save_receipt(model, received=len(deletions))
    below = {level.plural: sum(getattr(each, level.plural) for each in deletions) for level in model.below()}
    return f"In the trash: {counts_in_words({model.plural: len(deletions), **below})}."
