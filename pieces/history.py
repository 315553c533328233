"""What rows were before: their states one behind the other, which the database keeps (pieces.triggers), and what
changed, when and by whom (contract, "History")."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db.models import Q
from django.db.models.expressions import RawSQL
from rest_framework.exceptions import NotFound

from pieces.models import HISTORIES, LEVELS, LEVELS_BY_PLURAL, NO_ACT, Act, Entity, History
from pieces.querysets import dicts
from pieces.reading import Shown, counted, read_within
from ractory.api.errors import Gone
from ractory.api.paging import MAX_PAGE_BYTES, Page

Guid = uuid.UUID
State = Mapping[str, Any]  # the columns of a row, or of its history, by name
NEWEST = 2**63 - 1  # beyond every id
ACTIONS = ("inserted", "updated", "moved", "deleted", "restored")
UNTOLD = {"guid", "company_guid", "created_at", "updated_at"}  # fields that say nothing of what was done

# The ids of the states before one: each has, as the act that replaced it, the act that made the next one. A row that
# was written twice under one act has two such; the greatest id below that of the next one is meant.
# Subqueries, not joins: PostgreSQL would read the whole table for each step.
CHAIN = """
    WITH RECURSIVE chain(id, place) AS (
        SELECT max(id), 1 FROM {table} WHERE replaced_in = %s AND guid = %s AND id < %s {until}
        UNION ALL
        SELECT (SELECT max(id) FROM {table} WHERE replaced_in = (
            SELECT coalesce(changed_in, '{no_act}') FROM {table} WHERE id = chain.id
        ) AND guid = %s AND id < chain.id {until}), place + 1 FROM chain WHERE id IS NOT NULL AND place < %s
    )
    SELECT id FROM chain WHERE id IS NOT NULL
"""


def columns_of(model: type[Entity | History]) -> list[str]:
    """All but the picture, which is large."""
    return [field.attname for field in model._meta.concrete_fields if field.attname != "picture"]


def states_before(model: type[Entity], state: State, *, most: int = NEWEST, after: datetime | None = None) -> Any:
    """Up to `most` states that the row had before this one, the last of them first; with `after`, only those that were
    replaced after that moment. A queryset: of thousands of states hardly anyone wants more than a few."""
    history = HISTORIES[model]
    guid, moment = state["guid"], [after] if after else []
    until = "AND replaced_at > %s" if after else ""
    sql = CHAIN.format(table=history._meta.db_table, no_act=NO_ACT.hex, until=until)
    params = [state["changed_in"] or NO_ACT, guid, state.get("id", NEWEST), *moment, guid, *moment, most]
    chain = RawSQL(sql, params)  # noqa: S611  # our own names; all that comes from outside is a parameter
    return history.objects.filter(id__in=chain).order_by("-id")


def current_state(model: type[Entity], guid: Guid) -> State:
    """The row, a deleted one too. Raises 404."""
    found: State | None = model.all_objects.filter(guid=guid).values(*columns_of(model)).first()
    if found is None:
        raise NotFound(f"There is no {model.kind} {guid}.")
    return found


def is_first(state: State) -> bool:
    """Whether the row was made like this: before it there was nothing."""
    return bool(state["created_in"] and state["created_in"] == state["changed_in"])


def read_at(
    model: type[Entity], guid: Guid, moment: datetime, fields: Sequence[str], *, include_inactive: bool
) -> Shown:
    """The object as `read_one` would have read it then; the counts of then nobody knows. Raises 404 before it was
    there, 410 if what it was is not kept any more."""
    state = current_state(model, guid)
    if state["created_at"] > moment:
        raise NotFound(f"There was no {model.kind} {guid} at that moment yet.")
    if first_later := dicts(states_before(model, state, after=moment).reverse()[:1], columns_of(HISTORIES[model])):
        [state] = first_later
    if not is_first(state) and state["updated_at"] > moment and not states_before(model, state, most=1).exists():
        raise Gone(f"What the {model.kind} {guid} was at that moment is not kept any more.")
    if not (state["is_active"] or include_inactive):
        raise NotFound(f"The {model.kind} {guid} was deleted at that moment.")
    names = [name for name in fields if name not in counted(model)]
    return {name: picture_of(model, state) if name == "picture" else state[name] for name in names}


def picture_of(model: type[Entity], state: State) -> bytes | None:
    """The picture of a state. The update that took it away has kept it, or it is the row's own still."""
    if state.get("picture_digest") is None:
        return None
    now = current_state(model, state["guid"])
    rows: Any = model.all_objects.filter(guid=state["guid"])
    if now["picture_digest"] != state["picture_digest"]:
        replaced = state.get("replaced_at") or now["updated_at"]  # a row that has been written since it was read
        since = states_before(model, now, after=replaced - timedelta(microseconds=1))
        rows = since.filter(picture__isnull=False).order_by()
    rows = rows.filter(picture_digest=state["picture_digest"])
    picture: bytes | None = rows.values_list("picture", flat=True).first()
    return picture


def entry(model: type[Entity], old: State | None, new: State, acts: Mapping[Guid | None, Act]) -> Shown:
    """What made the state `new` of the state `old`, or of nothing (contract, "History")."""
    # A write by hand names no act, so the row still has that of the write before.
    act = None if old and old["changed_in"] == new["changed_in"] else acts.get(new["changed_in"])
    return {
        "at": old["replaced_at"] if old else new["created_at"],
        "action": action_of(model, old, new),
        "actor": act.actor if act else None,
        "run_guid": act.run_guid if act else None,
        "request_id": act.request_id or None if act else None,
        "deletion_guid": new["deletion_guid"] or (old["deletion_guid"] if old else None),
        "changes": differences(model, old, new),
    }


def action_of(model: type[Entity], old: State | None, new: State) -> str:
    if old is None:
        return "inserted"
    if old["is_active"] != new["is_active"]:
        return "restored" if new["is_active"] else "deleted"
    return "moved" if any(old[name] != new[name] for name in model.parent_columns()) else "updated"


def differences(model: type[Entity], old: State | None, new: State) -> dict[str, list[Any]]:
    """Each field that differs, with its old and its new value; a picture by its digests."""
    found = {}
    for field in model.wire_fields():
        column = "picture_digest" if field.attname == "picture" else field.attname
        before, after = old[column] if old else None, new[column]
        if before != after and column not in UNTOLD:
            pair = (before, after)
            found[field.attname] = [bytes(one).hex() if isinstance(one, bytes | memoryview) else one for one in pair]
    return found


def read_history(model: type[Entity], guid: Guid, page: Page) -> tuple[list[Shown], Sequence[Any] | None]:
    """A page of the row's history, newest first, in a fixed number of queries; if there is more, where that begins: at
    the id of the state that the next page shows as the new one. Raises 404, or 410 if that state is not kept."""
    state = current_state(model, guid)
    names = columns_of(HISTORIES[model])
    if page.after is not None:
        found = HISTORIES[model].objects.filter(guid=guid, id=page.after[0]).values(*names).first()
        if found is None:
            raise Gone("The history is not kept any further.")
        state = found
    past = states_before(model, state, most=page.limit + 1)
    before, more = read_within(past, names, page.limit, MAX_PAGE_BYTES)
    states = [state, *before]
    acts = Act.objects.in_bulk({state["changed_in"] for state in states} - {None})
    entries = [entry(model, old, new, acts) for new, old in pairwise(states)]
    if not more and is_first(states[-1]):
        entries.append(entry(model, None, states[-1], acts))
    shown = entries[: page.limit]
    return shown, (states[len(shown)]["id"],) if more or len(entries) > len(shown) else None


def read_acts(acts: Collection[Guid], page: Page) -> tuple[list[Shown], Sequence[Any] | None]:
    """A page of what these acts did, row by row, from the top level down; if there is more, where that begins: after
    (the number of a level, a guid). Raises 410 if what some row was before is not kept any more."""
    found, more = list[Shown](), False
    place, after = page.after or (0, None)
    for level in LEVELS[place:]:
        changes, more = _changes_of(level, acts, after, page.limit - len(found))
        found, after = found + changes, None
        if more:
            break
    last = found[-1] if more else None
    return found, (LEVELS.index(LEVELS_BY_PLURAL[last["entity"]]), last["guid"]) if last else None


def _changes_of(level: type[Entity], acts: Collection[Guid], after: Guid | None, most: int) -> tuple[list[Shown], bool]:
    """What the acts did to rows of this level, in the order of their guids, and whether there is more."""
    beyond = {"guid__gt": after} if after else {}
    replaced, made = Q(replaced_in__any_of=acts), Q(changed_in__any_of=acts)
    rows, past = level.all_objects.filter(made, **beyond), HISTORIES[level].objects.filter(made | replaced, **beyond)
    guids = rows.values_list("guid", flat=True).union(past.values_list("guid", flat=True))
    found = list(guids.order_by("guid")[: most + 1])
    written = found[:most]
    # Of a row that somebody has written by hand since, which names no act, the first state is what the acts made.
    kept = past.filter(guid__any_of=written).order_by("guid", "id"), columns_of(past.model), 2 * most
    present = rows.filter(guid__any_of=written).order_by("guid"), columns_of(level), most
    states: dict[bytes, State] = {}
    before: dict[bytes, State] = {}
    for some, is_cut in (read_within(*each, MAX_PAGE_BYTES) for each in (kept, present)):
        for state in some:
            (states if state["changed_in"] in acts else before).setdefault(state["guid"].bytes, state)
        if is_cut:
            written = [guid for guid in written if guid < some[-1]["guid"]] or written[:1]
    said = Act.objects.in_bulk({state["changed_in"] for state in states.values()} - {None})
    changes: list[Shown] = []
    for guid in written:
        old, new = before.get(guid.bytes), states.get(guid.bytes)
        if new is None or not (old or is_first(new)):
            raise Gone(f"What the {level.kind} {guid} was before is not kept any more.")
        changes.append({"entity": level.plural, "guid": guid} | entry(level, old, new, said))
    return changes, len(found) > len(written)
