"""Back from the trash: what would come back and what is in its way, piece by piece; then all of it, or what fits."""

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db.models import F
from django.http import HttpRequest
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.admin.history import note_names
from pieces.changes import Acts, restore_root
from pieces.clashes import MAX_CLASHES, clashes_among
from pieces.models import LEVELS, LEVELS_BY_KIND, Deletion, Kind, Operation, Piece
from pieces.names import counts_in_words, found_by_guid
from pieces.templatetags.entities import act_on
from ractory.api.errors import Conflict
from tenants.admin.staff import caller_of

Guid = uuid.UUID


def undoable(guids: Sequence[Guid]) -> list[Deletion]:
    """Those of the deletions that are neither restored nor being purged."""
    return list(Deletion.objects.filter(guid__any_of=guids, restored_at=None, purged_at=None).order_by("guid"))


def preview_restore(guids: Sequence[Guid]) -> dict[str, Any]:
    """For the template: the deletions that can be undone, how many rows would come back, and what is in the way: what
    is above and deleted by others, and the pieces whose piece_ids others have by now. A fixed number of queries."""
    deletions = undoable(guids)
    note_names(deletions)
    holding, counts = [deletion.guid for deletion in deletions], Counter[str]()
    above: dict[Guid, Any] = {}
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


def restore_many(guids: Sequence[Guid], *, request: HttpRequest, fitting: bool) -> str:
    """Undoes all of these deletions, from the top level down, within a transaction; says how many rows came back.
    Raises Conflict, and restores nothing, if one of them can't be undone. With `fitting` what can't come back stays in
    the trash; then it raises only if nothing else is left."""
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
