"""The trash, and the way there and back: each is shown first, with counts and with what is in the way."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.admin.exporting import Exported
from pieces.admin.finding import by_choice
from pieces.admin.history import note_names, runs_in_words
from pieces.changes import Acts, restore_root, soft_delete
from pieces.clashes import MAX_CLASHES, clashes_among
from pieces.models import LEVELS, LEVELS_BY_KIND, Act, Deletion, Entity, Kind, Operation, Piece, Project
from pieces.names import counts_in_words, found_by_guid
from pieces.templatetags.entities import act_on, page_of, place
from ractory.api.errors import Conflict
from ractory.api.retry import in_transaction
from tenants.admin.staff import StaffAdmin, at, caller_of
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
    model_admin: StaffAdmin, request: HttpRequest, act: Callable[[], str], back: str, template: str, **preview: Any
) -> HttpResponse:
    """The page of the preview; posted, the act, which says what it did. A conflict is told on the same page."""
    if request.method == "POST":
        try:
            model_admin.message_user(request, in_transaction(act), messages.SUCCESS)
            return redirect(back)
        except Conflict as conflict:
            preview["conflict"] = conflict.detail
    return model_admin.page(request, template, back=back, **preview)


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

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        self.get_object(request, object_id)  # if it is there
        return redirect(act_on("pieces_deletion_restore", [object_id]))

    @at("restore/", Capability.DELETE)
    def restore(self, request: HttpRequest) -> HttpResponse:
        guids = guids_of(request)
        first = get_list_or_404(Deletion.objects.filter(guid__any_of=guids))[0]
        back = page_of(first.kind, first.root_guid) if len(guids) == 1 else "admin:pieces_deletion_changelist"
        act = partial(restore_many, guids, request=request, fitting="fitting" in request.POST)
        preview = preview_restore(guids)
        return confirm(self, request, act, back, "pieces/restore.html", title="Restore?", **preview)


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
    """Deletes each of `guids`, and says how many rows went. Raises Conflict if one of them is not active any more."""
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


def undoable(guids: Sequence[uuid.UUID]) -> list[Deletion]:
    """Those of the deletions that are neither restored nor being purged."""
    return list(Deletion.objects.filter(guid__any_of=guids, restored_at=None, purged_at=None).order_by("guid"))


def preview_restore(guids: Sequence[uuid.UUID]) -> dict[str, Any]:
    """For the template: the deletions that can be undone, how many rows would come back, and what is in the way: what
    is above and deleted by others, and the pieces whose piece_ids others have by now."""
    deletions = undoable(guids)
    note_names(deletions)
    holding, counts = [deletion.guid for deletion in deletions], Counter[str]()
    above: dict[uuid.UUID, Any] = {}
    for model in LEVELS:
        of_level = [deletion.guid for deletion in deletions if deletion.kind == model.kind]
        roots = model.all_objects.filter(deletion_guid__any_of=of_level)
        counts[model.plural] += roots.count() if of_level else 0
        for level in model.below() if of_level else ():
            below = level.all_objects.filter(deletion_guid__any_of=of_level)
            counts[level.plural] += below.filter(deletion_guid=F(f"{model.kind}__deletion_guid")).count()
        for kind in model.parents if of_level else ():
            over = LEVELS_BY_KIND[kind].all_objects.filter(is_active=False, guid__in=roots.values(kind.column))
            over = over.exclude(deletion_guid__any_of=holding).without_picture()
            above = {row.deletion_guid: row for row in over.order_by("guid")[:MAX_CLASHES]} | above  # the highest
    clashes = {
        clash.guid: clash.holder for clash in clashes_among(Piece.all_objects.filter(deletion_guid__any_of=holding))
    }
    found = found_by_guid((Kind.PIECE, guid) for pair in clashes.items() for guid in pair)
    return {
        "roots": deletions,
        "said": counts_in_words(counts),
        "above": [(row, act_on("pieces_deletion_restore", [*guids, guid])) for guid, row in above.items()],
        "clashes": [(found.get(guid), found.get(holder)) for guid, holder in clashes.items()],
        "is_cut": len(clashes) >= MAX_CLASHES,
    }


def restore_many(guids: Sequence[uuid.UUID], *, request: HttpRequest, fitting: bool) -> str:
    """Undoes these deletions, from the top level down, and says how many rows came back. Raises Conflict if one of them
    can't be undone; with `fitting`, by which that stays in the trash, only if none can."""
    deletions = sorted(undoable(guids), key=lambda each: (Kind.values.index(each.kind), each.root_guid))
    if len(deletions) < len(set(guids)):
        raise Conflict("Some of these have been restored, or purged, meanwhile. Nothing was done; look again.")
    acts, refusal = Acts(Origin(Operation.RESTORE, caller_of(request).actor, run=uuid7())), None
    for deletion in deletions:
        model = LEVELS_BY_KIND[deletion.kind]
        try:
            with acts.savepoint():
                taken = model.all_objects.select_for_update(no_key=True).filter(deletion=deletion).order_by("guid")
                if (root := taken.values_list("guid", flat=True).first()) is None:
                    raise Conflict(f"The {model.kind} {deletion.root_guid} is not deleted by this deletion any more.")
                restore_root(model, root, acts=acts, fitting=fitting)
        except Conflict as conflict:
            if not fitting:
                raise
            refusal = conflict
    if refusal and not acts.guids:
        raise refusal
    acts.save_receipt(LEVELS_BY_KIND[deletions[0].kind], received=len(deletions))
    written = {"changed_in__any_of": list(acts.guids.values())}
    counts = {level.plural: level.objects.filter(**written).count() for level in LEVELS}
    left = "" if not fitting else " What did not fit is still in the trash."
    return f"Restored: {counts_in_words(counts)}.{left}"
