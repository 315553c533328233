"""The admins of the four levels with what sync knows: a history with its runs, and changes by hand."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pieces.admin import entities as plain
from pieces.admin.page import Event, crumbs_of, groups_of
from pieces.models import LEVELS, Act
from pieces.names import counts_in_words
from pieces.templatetags.entities import page_of
from ractory.api.errors import Conflict, Unprocessable
from sync.admin.editing import edit, form_of, initial_of
from sync.models import SyncRun
from tenants.admin.staff import caller_of
from tenants.scope import every_company

MAX_EDITS = 50  # by hand, that a history shows


class SyncedAdmin(plain.EntityAdmin):
    """Adds the runs to the history, and a page to change an entity."""

    def urls_of(self, entity: Any) -> dict[str, str]:
        urls = super().urls_of(entity)
        if entity.is_active:
            urls["edit"] = reverse(f"admin:pieces_{entity.kind}_edit", args=[entity.guid])
        return urls

    def get_urls(self) -> list[URLPattern]:
        return [self.route("<uuid:guid>/edit/", self.edit, "edit"), *super().get_urls()]

    def edit(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """The form; posted, the change, refused at the fields with the words of a sync's 422."""
        entity = self.entity_or_404(guid)
        if not entity.is_active:
            raise Http404
        form = form_of(self.model)(request.POST or None, request.FILES or None, initial=initial_of(entity))
        if form.is_valid():
            try:
                changed = edit(self.model, guid, form, caller=caller_of(request))
            except Unprocessable as refusal:
                for fault in refusal.faults:
                    name = str(fault["loc"][-1])
                    form.add_error(name if name in form.fields else None, fault["msg"])
            except Conflict as conflict:
                form.add_error(None, f"{conflict.detail} Nothing was written: open the page again.")
            else:
                if changed:
                    self.log_change(request, entity, [{"changed": changed}])
                    self.message_user(request, f"Saved: {'; '.join(changed['fields'])}.", messages.SUCCESS)
                else:
                    self.message_user(request, "Nothing was changed.", messages.INFO)
                return redirect(page_of(entity.kind, guid))
        groups = [(title, [form[field.attname] for field in fields]) for title, fields in groups_of(self.model).items()]
        pictures = [form[name] for name in ("picture", "no_picture") if name in form.fields]
        context = {"entity": entity, "form": form, "groups": groups, "pictures": pictures, "crumbs": crumbs_of(entity)}
        return self.page(request, "sync/edit.html", title=f"Edit {entity}", **context)

    def history(self, entity: Any) -> list[Event]:
        """With the run that made the row, changes by hand, the run that changed it last."""
        events = super().history(entity)
        acts = _acts_of(entity, events)
        by_hand = list(_by_hand(entity))
        made, last = acts.get(entity.created_in), acts.get(entity.changed_in)
        shown = [Event(entity.created_at, "created", made.actor if made else None, _in_run(made))]
        shown += [event for _, event in by_hand]
        # A deletion or a restore, whose event is there already, may be the last act; so may a change by hand.
        moments, runs = {event.at for event in events}, {run for run, _ in by_hand}
        if last and last is not made and last.at not in moments and str(last.run_guid) not in runs:
            shown.append(Event(last.at, "changed", last.actor, _in_run(last)))
        for event in events:
            text = format_html("{} {}", event.text, _in_run(acts.get(event.act)))
            shown.append(Event(event.at, event.what, event.actor, text))
        return shown


def _acts_of(entity: Any, events: Iterable[Event]) -> dict[Any, Act]:
    """The acts that an entity's history names, by guid, each with its `run` if there is a receipt."""
    guids = {entity.created_in, entity.changed_in, *(event.act for event in events)} - {None}
    acts: dict[Any, Any] = Act.objects.in_bulk(guids)
    lean = SyncRun.objects.defer("errors_json", "ignored_json")
    runs = lean.in_bulk([act.run_guid for act in acts.values() if act.run_guid])
    for act in acts.values():
        act.run = runs.get(act.run_guid)
    return acts


def _in_run(act: Any) -> SafeString:
    if act is None or act.run_guid is None:
        return SafeString("")
    if act.run is None:
        return SafeString("in a sync run whose receipt is gone")
    url = reverse("admin:sync_syncrun_change", args=[act.run_guid])
    return format_html('in <a href="{}">a sync of {}</a>', url, counts_in_words({act.run.entity: act.run.received}))


def _by_hand(entity: Any) -> Iterable[tuple[str, Event]]:
    """The changes by hand, with the guids of their runs."""
    kind = ContentType.objects.get_for_model(entity)
    rows = LogEntry.objects.filter(content_type=kind, object_id=str(entity.guid)).select_related("user")
    with every_company():  # a SystemAdmin is of none
        entries = list(rows.order_by("-pk")[:MAX_EDITS])
    for entry in entries:
        changed = orjson.loads(entry.change_message)[0]["changed"]
        text = format_html("by hand: {}", "; ".join(changed["fields"]))
        yield changed["run"], Event(entry.action_time, "changed", f"user:{entry.user.email}", text)


BASES = (plain.ProjectAdmin, plain.ComponentAdmin, plain.AssemblyAdmin, plain.PieceAdmin)
for model, base in zip(LEVELS, BASES, strict=True):
    admin.site.register(model, type(base.__name__, (SyncedAdmin, base), {}))
