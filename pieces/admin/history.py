"""What happened to an entity, as far as its deletions and those of its parents tell."""

import uuid
from collections.abc import Iterator, Sequence
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


def newest_first(events: Sequence[Event]) -> list[tuple[Event, str]]:
    """The events, each with the name of who did it."""
    names = names_of(event.actor for event in events)
    newest = sorted(events, key=lambda event: event.at, reverse=True)
    return [(event, names.get(event.actor or "", event.actor or "someone unknown")) for event in newest]


def deletion_events(entity: Entity) -> Iterator[Event]:
    """Deletions that took the entity, its own and those of its parents, and restores.

    Its parents are those of today: what happened below an earlier parent, before a move, is not told.
    """
    above = [getattr(entity, column) for column in entity.parent_columns()]
    roots = [entity.guid, *(guid for guid in above if guid)]
    rows = Deletion.objects.filter(root_guid__any_of=roots, created_at__gte=entity.created_at).order_by("-created_at")
    last: Deletion | None = None
    for deletion in reversed(rows[:MAX_DELETIONS]):
        if last and not (last.restored_at and last.restored_at <= deletion.created_at):
            continue  # an earlier one had the entity already
        last, through = deletion, NO_TEXT
        if deletion.root_guid != entity.guid:
            through = format_html("together with {} {}", deletion.kind, link_to(getattr(entity, deletion.kind)))
        yield Event(deletion.created_at, "deleted", deletion.actor, through, deletion.act_guid)
        if deletion.restored_at:
            yield Event(deletion.restored_at, "restored", deletion.restored_by, through)
