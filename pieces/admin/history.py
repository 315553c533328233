"""What happened to an entity, or in a run, as staff read it: who, when, in which run, old and new values."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pieces.admin.page import fact, label_of
from pieces.history import read_history
from pieces.models import LEVELS_BY_PLURAL, Act, Deletion, Entity, Operation
from pieces.names import found_by_guid, run_in_words, with_others
from pieces.receipts import SyncRun
from pieces.templatetags.entities import link_to
from ractory.api.paging import Page, encode_cursor
from tenants.admin.staff import names_of
from tenants.templatetags.staff import NOTHING

PER_PAGE = 20
WORDS = {"inserted": "created", "updated": "changed"}  # the other actions are called what they are
SAID_BY_WORD = ("is_active", "deleted_at")

Guid = uuid.UUID
Entry = Mapping[str, Any]  # as the changes of a run have them (contract, "History"), with Python values
Found = Mapping[Guid, Entity]  # what changes mention, as far as it is still there


def history_of(entity: Any, page: Page) -> tuple[list[dict[str, Any]], str | None]:
    """A page of the entity's history, newest first, and the cursor of the next older one. Raises 410 if none is
    kept."""
    entries, last = read_history(type(entity), entity.guid, page)
    if last is None and not (entries and entries[-1]["action"] == "inserted"):
        # Its history is not kept to its beginning, but who made it the row still knows.
        act = Act.objects.filter(guid=entity.created_in).first()
        by = {"actor": act and act.actor, "run_guid": act and act.run_guid}
        entries.append({"at": entity.created_at, "action": "inserted", **by, "deletion_guid": None, "changes": {}})
    which = {"entity": entity.plural, "guid": entity.guid}
    return told([which | entry for entry in entries]), encode_cursor(page.keys, last) if last else None


def told(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Changes of rows for the templates, with names in place of guids; in a fixed number of queries."""
    deletions = Deletion.objects.in_bulk({entry["deletion_guid"] for entry in entries} - {None})
    mentioned = {(deletion.kind, deletion.root_guid) for deletion in deletions.values()}
    for entry in entries:
        model = LEVELS_BY_PLURAL[entry["entity"]]
        mentioned.add((model.kind, entry["guid"]))
        mentioned |= {(kind, guid) for kind in model.parents for guid in entry["changes"].get(kind.column, ()) if guid}
    found = found_by_guid(mentioned)
    runs = runs_in_words(entry["run_guid"] for entry in entries)
    actors = names_of(entry["actor"] for entry in entries)
    return [
        {
            "what": WORDS.get(entry["action"], entry["action"]),
            "at": entry["at"],
            "who": actors.get(entry["actor"], "someone unknown"),
            "run": runs.get(entry["run_guid"], ""),
            "through": _through(entry, deletions, found),
            "kind": LEVELS_BY_PLURAL[entry["entity"]].kind.value,
            "link": linked(entry["guid"], found),
            "entity": found.get(entry["guid"]),
            "fields": _fields(entry, found),
        }
        for entry in entries
    ]


def _through(entry: Entry, deletions: Mapping[Guid, Deletion], found: Found) -> SafeString | str:
    """With what the row went or came back, unless that was itself."""
    deletion = deletions.get(entry["deletion_guid"])
    if deletion is None or entry["action"] not in ("deleted", "restored") or deletion.root_guid == entry["guid"]:
        return ""
    return format_html("together with {} {}", deletion.kind, linked(deletion.root_guid, found))


def linked(guid: Guid | None, found: Found) -> SafeString | str:
    """Of an entity that has been purged its guid."""
    return link_to(found[guid]) if guid and guid in found else str(guid or NOTHING)


def _fields(entry: Entry, found: Found) -> list[tuple[str, SafeString | str]]:
    """Each field that differs, with its old and its new value; of a new row the new one."""
    model, is_new = LEVELS_BY_PLURAL[entry["entity"]], entry["action"] == "inserted"
    fields: list[tuple[str, SafeString | str]] = []
    for name, values in entry["changes"].items():
        field = model._meta.get_field(name)
        if name == "picture":
            old, new = values
            fields.append((label_of(field), "replaced" if old and new else "added" if new else "removed"))
        elif name not in SAID_BY_WORD:
            is_parent = name in model.parent_columns()
            shown = [linked(value, found) if is_parent else fact(field, value) or NOTHING for value in values]
            fields.append((label_of(field), shown[1] if is_new else format_html("{} → {}", *shown)))
    return fields


def runs_in_words(guids: Iterable[Guid | None]) -> dict[Guid | None, SafeString]:
    """Each of these runs as a change names it, with a link to its page while its receipt is there; one query."""
    wanted = set(guids) - {None}
    found: dict[Guid | None, SafeString] = dict.fromkeys(wanted, SafeString("in a run whose receipt is gone"))
    for run in SyncRun.objects.filter(guid__in=wanted).defer(*SyncRun.LONG):
        words, before = run_in_words(run), "in an" if run.operation[0] in "aeiou" else "in a"
        if run.operation == Operation.EDIT:
            words, before = "by hand", ""
        url = reverse("admin:sync_syncrun_change", args=[run.guid])
        found[run.guid] = format_html('{} <a href="{}">{}</a>', before, url, words)
    return found


def note_names(deletions: Sequence[Any]) -> None:
    """Gives each deletion its root, if that is still there, its name, and those of who deleted and restored it."""
    roots = found_by_guid((deletion.kind, deletion.root_guid) for deletion in deletions)
    actors = names_of(actor for deletion in deletions for actor in (deletion.actor, deletion.restored_by))
    for deletion in deletions:
        deletion.root = roots.get(deletion.root_guid)
        deletion.root_name = with_others(str(deletion.root or deletion.root_guid), deletion.roots)
        deletion.actor_name = actors.get(deletion.actor, deletion.actor)
        deletion.restorer = actors.get(deletion.restored_by or "", deletion.restored_by)
