"""Restoring by hand, one or many deletions: what would come back is counted first, then all or nothing comes back."""

import uuid
from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotFound

from pieces.admin.deleting import Preview
from pieces.admin.linking import GUID, Counts, names_by_guid
from pieces.changes import Acts, Origin, restore_root
from pieces.models import LEVELS, LEVELS_BY_KIND, Deletion
from ractory.api.errors import Conflict
from ractory.api.retry import in_transaction

ORDER = {model.kind.value: place for place, model in enumerate(LEVELS)}


def preview_restore(guids: Sequence[uuid.UUID]) -> Preview:
    """Those of `guids` that are neither restored nor being purged, and how many rows of each level they still hold."""
    rows = Deletion.objects.filter(guid__any_of=list(guids), restored_at=None, purged_at=None)
    deletions = list(rows.order_by("guid"))
    counts: Counts = {}
    for model in LEVELS:
        roots = [deletion for deletion in deletions if deletion.kind == model.kind.value]
        for level in (model, *model.below()) if roots else ():
            counts[level.plural] = counts.get(level.plural, 0) + _held(level, model.kind.value, roots)
    return Preview(deletions, counts)


def _held(level: Any, kind: str, roots: Sequence[Deletion]) -> int:
    link = "guid" if level.kind == kind else f"{kind}_guid"
    rows = level.all_objects.filter(
        **{f"{link}__any_of": [root.root_guid for root in roots]}, deletion_guid__any_of=[root.guid for root in roots]
    )
    return int(rows.count())


def restore_many(guids: Sequence[uuid.UUID], *, origin: Origin) -> Counts:
    """Undoes all of these deletions, from the top level down; returns how many rows came back.

    Raises Conflict, and restores nothing, if one of them can't be undone.
    """

    def work() -> Counts:
        preview = preview_restore(guids)
        if len(preview.roots) < len(set(guids)):
            raise Conflict("Some of these have been restored, or purged, meanwhile. Nothing was done; look again.")
        acts = Acts(origin)
        for deletion in sorted(preview.roots, key=lambda deletion: (ORDER[deletion.kind], deletion.root_guid)):
            _undo(deletion, acts)
        return preview.counts

    return in_transaction(work)


def _undo(deletion: Deletion, acts: Acts) -> None:
    model = LEVELS_BY_KIND[deletion.kind]
    if not model.all_objects.filter(guid=deletion.root_guid, deletion=deletion).exists():
        raise Conflict(f"The {model.kind} {deletion.root_guid} is not deleted by this deletion any more.")
    try:
        restore_root(model, deletion.root_guid, acts=acts)
    except NotFound as error:
        raise Conflict(str(error.detail)) from error


def explained(detail: str) -> str:
    """A conflict's text with names beside the guids that it mentions: `component W01 (guid)`."""
    wanted = [(kind, uuid.UUID(guid)) for kind in ORDER for guid in _named(detail, kind)]
    for guid, name in names_by_guid(wanted).items():
        detail = detail.replace(f" {guid}", f" “{name}” {guid}")
    return detail


def _named(detail: str, kind: str) -> list[str]:
    return [match.group() for match in GUID.finditer(detail) if detail[: match.start()].endswith(f"{kind} ")]
