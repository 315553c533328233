"""What happened to an entity: its deletions and restores, told from the Deletion rows of itself and of its parents."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from pieces.admin.linking import link_to
from pieces.models import Deletion, Entity
from tenants.admin.actors import names_of

MAX_DELETIONS = 100
NO_TEXT = SafeString("")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a history; `text` is HTML."""

    at: datetime
    what: str  # created, changed, deleted, restored
    actor: str | None
    text: SafeString = NO_TEXT
    act: uuid.UUID | None = None

    @property
    def is_gone(self) -> bool:
        return self.what == "deleted"


@dataclass(frozen=True, slots=True)
class Told:
    """An event with the actor's name."""

    event: Event
    who: str


def told(events: Sequence[Event]) -> list[Told]:
    """Newest first, with the names of who did it."""
    names = names_of(event.actor for event in events)
    newest = sorted(events, key=lambda event: event.at, reverse=True)
    return [Told(event, names.get(event.actor or "", event.actor or "someone unknown")) for event in newest]


def deletions_of(entity: Entity) -> list[Deletion]:
    """The deletions that took the entity, oldest first: its own, and those of its parents while it was active.

    Its parents are those of today: what happened below an earlier parent, before a move, is not told.
    """
    above = [getattr(entity, column) for column in entity.parent_columns()]
    roots = [entity.guid, *(guid for guid in above if guid)]
    rows = Deletion.objects.filter(root_guid__any_of=roots, created_at__gte=entity.created_at).order_by("-created_at")
    taken: list[Deletion] = []
    for deletion in reversed(rows[:MAX_DELETIONS]):
        before = taken[-1] if taken else None
        if before is None or (before.restored_at and before.restored_at <= deletion.created_at):
            taken.append(deletion)
    return taken


def deletion_events(entity: Entity, deletions: Sequence[Deletion]) -> list[Event]:
    events = []
    for deletion in deletions:
        through = _through(entity, deletion)
        events.append(Event(deletion.created_at, "deleted", deletion.actor, through, deletion.act_guid))
        if deletion.restored_at:
            events.append(Event(deletion.restored_at, "restored", deletion.restored_by, through))
    return events


def _through(entity: Entity, deletion: Deletion) -> SafeString:
    if deletion.root_guid == entity.guid:
        return NO_TEXT
    parent = getattr(entity, deletion.kind)
    return format_html("together with {} {}", deletion.kind, link_to(parent))
