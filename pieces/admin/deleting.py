"""Deleting by hand, one or many of a level: what would go is counted first, then it goes in one transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from pieces.admin.linking import Counts
from pieces.changes import Acts, Origin, soft_delete
from pieces.models import LEVELS_BY_KIND, Deletion, Entity, Operation, Project
from ractory.api.errors import Conflict
from ractory.api.middleware import current_request_id
from ractory.api.retry import in_transaction
from tenants.admin.staff import caller_of

MAX_AT_ONCE = 100  # roots in one act


@dataclass(frozen=True, slots=True)
class Preview:
    """What an act would take along: its roots, and the rows by level."""

    roots: Sequence[Any]
    counts: Counts


def origin_of(request: HttpRequest, operation: Operation) -> Origin:
    return Origin(operation, caller_of(request).actor, current_request_id.get())


def guids_of(request: HttpRequest) -> list[uuid.UUID]:
    """The guids that a page was asked for, in its address or its form; those that are none are left out."""
    found = []
    for text in (request.POST if request.method == "POST" else request.GET).getlist("guid")[:MAX_AT_ONCE]:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found


def preview_deletion(model: type[Entity], guids: Sequence[uuid.UUID]) -> Preview:
    """The active ones of `guids` and how many rows of each level would go; one query per level."""
    pictures = () if model is Project else ("picture",)
    roots = list(model.objects.filter(guid__any_of=list(guids)).defer(*pictures).order_by("guid"))
    below = {level.plural: _below(level, model, roots).count() for level in model.below()} if roots else {}
    return Preview(roots, {model.plural: len(roots), **below})


def _below(level: type[Entity], model: type[Entity], roots: Sequence[Any]) -> Any:
    return level.objects.filter(**{f"{model.kind.value}_guid__any_of": [root.guid for root in roots]})


def delete_many(model: type[Entity], guids: Sequence[uuid.UUID], *, origin: Origin) -> Counts:
    """Deletes all of `guids`, each a deletion of its own; returns how many rows went.

    Raises Conflict, and deletes nothing, if one of them is not active any more.
    """

    def work() -> Counts:
        rows = model.objects.select_for_update(no_key=True).filter(guid__any_of=list(guids)).order_by("guid")
        roots = list(rows.values_list("guid", "company_guid"))
        if len(roots) < len(set(guids)):
            raise Conflict("Some of these have been deleted meanwhile. Nothing was done; look again.")
        deletions = [Deletion(company_guid=company, kind=model.kind.value, root_guid=guid) for guid, company in roots]
        soft_delete(deletions, acts=Acts(origin))
        return total(deletions)

    return in_transaction(work)


def total(deletions: Sequence[Deletion]) -> Counts:
    """The rows that these deletions took, their roots included."""
    counts: Counts = {}
    for deletion in deletions:
        root = LEVELS_BY_KIND[deletion.kind]
        counts[root.plural] = counts.get(root.plural, 0) + 1
        for level in root.below():
            counts[level.plural] = counts.get(level.plural, 0) + getattr(deletion, level.plural)
    return {model.plural: counts[model.plural] for model in LEVELS_BY_KIND.values() if model.plural in counts}
