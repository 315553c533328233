"""Carrying a batch out: look, plan, lock, make sure nothing has changed meanwhile, write; all or nothing.

The number of statements does not depend on the size of the batch. Rows that stay as they are get no lock and no
write.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import BinaryField, CharField, Value
from django.db.models.functions import Cast
from uuid_utils.compat import uuid7

from pieces.bulk import database_clock, insert_rows, update_rows
from pieces.content import content_of
from pieces.deletion import ACTIVE, Actor, Clash, carry_below, parking, restore, soft_delete
from pieces.lookups import PieceKeyIn
from pieces.models import LEVELS, Entity, Pictured, Piece
from pieces.querysets import VERSION, fetched
from ractory.api.errors import ConflictRetry, Fault, Unprocessable
from ractory.api.retry import sqlstate
from sync.planning import (
    NEW,
    NOW,
    Action,
    GuidKey,
    Parent,
    Parents,
    PieceKey,
    Plan,
    Snapshot,
    Stored,
    content_columns,
    make_plan,
    place,
    state_columns,
)
from sync.schemas import Item, uuid_of
from tenants.models import Company
from tenants.scope import current_scope, every_company

MAX_LOOKS = 10  # at a batch whose rows keep changing between looking and locking
MAX_WAIT = 50  # milliseconds for a lock, of rows that are stamped already
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL, appendix A


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each item, in the order of the batch. No guid: it matched nothing and was not to be there."""

    guids: list[uuid.UUID | None]
    actions: list[Action]
    counts: Counter[Action]


def synchronise(
    model: type[Entity],
    items: Sequence[Item],
    *,
    actor: Actor,
    sent: Sequence[bytes] = (),
    match_piece_id: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Inserts or updates `items`, valid by the schema, within the tenant scope and the caller's transaction.

    `sent` are the bytes of each item, by which it is recognised when it comes again (sync.recognising).
    Raises Unprocessable with every fault of parents and identities; then nothing is written. With `dry_run`
    nothing is written either, after all the work has been done. (Contract, "Sync".)
    """
    if not items:
        return Outcome([], [], Counter())
    with transaction.atomic() if dry_run else nullcontext():  # a savepoint to go back to
        for look in range(MAX_LOOKS):
            guids = _guids(items, match_piece_id)
            snapshot = _take_snapshot(model, items, guids, sent)
            plan = make_plan(model, snapshot, actor=actor)
            if plan.faults:
                raise Unprocessable(plan.faults)
            if _written(model, plan, snapshot, actor, lock=look > 0 or not plan.is_plain):
                if dry_run:
                    transaction.set_rollback(True)
                return Outcome(guids, plan.actions, Counter(plan.actions))
    raise ConflictRetry


def _guids(items: Sequence[Item], match_piece_id: bool) -> list[uuid.UUID | None]:
    """Each item's guid: its own, or that of the active piece with its piece_id, or a new one.

    None for an item that matches no piece and is not to be there: there is nothing to insert.
    """
    if not match_piece_id:
        return [item.get("guid") or uuid7() for item in items]
    held = _holders(_key(item) for item in items if not item.get("guid"))
    return [
        item.get("guid") or held.get(_key(item)) or (None if item.get("is_active") is False else uuid7())
        for item in items
    ]


def _key(item: Item) -> PieceKey:
    return item["project_guid"].bytes, item["piece_id"]


def _holders(keys: Iterable[PieceKey]) -> dict[PieceKey, uuid.UUID]:
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    rows = Piece.objects.filter(PieceKeyIn(wanted)).values_list("project_guid", "piece_id", "guid")
    return {(project.bytes, piece_id): guid for project, piece_id, guid in rows}


def _take_snapshot(
    model: type[Entity], items: Sequence[Item], guids: Sequence[uuid.UUID | None], sent: Sequence[bytes]
) -> Snapshot:
    stored = _stored(model, items, guids)
    placed = [
        place(model, item, guid, stored.get(guid.bytes) if guid else None)
        for item, guid in zip(items, guids, strict=True)
    ]
    named = [parents for parents, _ in groupby(each.parents for each in placed if not each.settled)]
    new_keys: list[PieceKey] = []
    if model is Piece:
        new_keys = [
            _key(each.item)
            for each in placed
            if each.active and not (each.settled and each.stored and each.stored.piece_id == each.item["piece_id"])
        ]
    return Snapshot(
        items=placed,
        parents=_parents(model, named) if named else {},
        holders=_holders(new_keys),
        companies=_companies(items),
        taken=_taken(model, [guid for item in items if (guid := item.get("guid")) and guid.bytes not in stored]),
        sent=sent,
    )


def _stored(model: type[Entity], items: Sequence[Item], guids: Sequence[uuid.UUID | None]) -> dict[GuidKey, Stored]:
    """The rows of these guids, within the scope."""
    content = set(content_of(model).names)
    missing = tuple(content.difference({"picture_digest"}, set(content).intersection(*items)))
    nothing = Value(None, output_field=BinaryField())
    relations: tuple[Any, ...] = ("company_guid", *model.parent_columns())
    if connection.vendor == "postgresql":  # as texts, most of which uuid_of knows
        relations = tuple(Cast(name, CharField()) for name in relations)
    columns: tuple[Any, ...] = (
        "guid",
        VERSION if connection.vendor == "postgresql" else nothing,
        *("is_active", "deleted_at", "deletion_guid", "digest"),
        "picture_digest" if "picture_digest" in content else nothing,
        "piece_id" if model is Piece else nothing,
        *relations,
        *missing,
    )
    end = len(columns) - len(missing)
    rows = model.all_objects.filter(guid__any_of=[guid for guid in guids if guid]).values_list(*columns)
    nothing_missing: dict[str, Any] = {}
    return {  # by position: a thousand rows, a dozen values each
        row[0].bytes: Stored._make(
            (
                *row[1:8],
                _guid(row[8]),
                tuple([value and _guid(value) for value in row[9:end]]),
                dict(zip(missing, row[end:], strict=True)) if missing else nothing_missing,
            )
        )
        for row in fetched(rows)
    }


def _taken(model: type[Entity], unknown: Sequence[uuid.UUID]) -> frozenset[GuidKey]:
    """Those of the guids, unknown within the scope, that another company holds: nothing else is asked of its rows."""
    own = current_scope().company
    if own is None or not unknown:
        return frozenset()
    with every_company():
        foreign = model.across_companies.filter(guid__any_of=unknown).exclude(company=own)
        return frozenset(guid.bytes for guid in foreign.values_list("guid", flat=True))


def _guid(value: str | uuid.UUID) -> uuid.UUID:
    return uuid_of(value) if isinstance(value, str) else value


def _distinct(guids: Iterable[uuid.UUID | None]) -> list[uuid.UUID]:
    return list({guid.bytes: guid for guid in guids if guid}.values())


def _parents(model: type[Entity], named: Collection[Parents]) -> dict[str, dict[GuidKey, Parent]]:
    """The rows of the parents that are named; one query per level."""
    parents: dict[str, dict[GuidKey, Parent]] = {}
    for level, guids in zip(LEVELS, zip(*named, strict=True), strict=False):
        rows = level.all_objects.filter(guid__any_of=_distinct(guids))
        parents[level.kind.value] = {
            guid.bytes: Parent(company, is_active, tuple(above))
            for guid, company, is_active, *above in rows.values_list(
                "guid", "company_guid", "is_active", *level.parent_columns()
            )
        }
    return parents


def _companies(items: Sequence[Item]) -> frozenset[GuidKey]:
    own = current_scope().company
    if own is not None:  # it exists, and the items are in it
        return frozenset([own.bytes])
    known = Company.objects.filter(guid__any_of=_distinct(item["company_guid"] for item in items))
    return frozenset(guid.bytes for guid in known.values_list("guid", flat=True))


class _Stale(Exception):
    """A row has been written since the snapshot, or is locked by somebody."""


def _written(model: type[Entity], plan: Plan, snapshot: Snapshot, actor: Actor, *, lock: bool) -> bool:
    """Carries the plan out, if what it rests on is still as in the snapshot; else nothing is written.

    Without `lock` it is the UPDATE itself that leaves a row alone which somebody has written meanwhile.
    """
    if not connection.features.has_select_for_update:  # SQLite, where a writing transaction is alone
        _carry_out(model, plan, snapshot, actor)
        return True
    if not _parents_hold(plan, snapshot) or (lock and plan.changed and not _rows_hold(model, plan)):
        return False
    try:
        with nullcontext() if lock or not plan.updates else _unless_it_waits():
            _carry_out(model, plan, snapshot, actor, verify=not lock)
    except _Stale:
        return False
    return True


@contextmanager
def _unless_it_waits() -> Iterator[None]:
    """A savepoint. Raises _Stale, and undoes it all, if a row's lock is not to be had at once.

    PostgreSQL stamps a row before it waits for its lock. The next look locks the rows first, and waits then.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", [f"{MAX_WAIT}ms"])
            yield
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        raise _Stale from error


def _parents_hold(plan: Plan, snapshot: Snapshot) -> bool:
    """Shares the parents with other syncs, from the top, but keeps them from deletion and moves."""
    if not (plan.inserts or plan.changed):
        return True
    for level in LEVELS:
        guids = plan.leaning_on.get(level.kind.value)
        if not guids:
            continue
        rows = level.all_objects.filter(guid__any_of=list(guids.values()))
        locked = rows.shared("guid", "company_guid", "is_active", *level.parent_columns())
        known = snapshot.parents[level.kind.value]
        now = {guid.bytes: Parent(company, is_active, tuple(above)) for guid, company, is_active, *above in locked}
        if now != {key: known.get(key) for key in guids}:
            return False
    return True


def _rows_hold(model: type[Entity], plan: Plan) -> bool:
    """Locks the rows that will change, in guid order."""
    rows = model.all_objects.filter(guid__any_of=[guid for guid, _ in plan.changed])
    in_order = sorted(plan.changed, key=lambda changed: changed[0].int)
    return bool(rows.locked_versions() == " ".join([version for _, version in in_order]))


def _carry_out(model: type[Entity], plan: Plan, snapshot: Snapshot, actor: Actor, *, verify: bool = False) -> None:
    now = database_clock()  # the locks are held
    soft_delete(plan.deletions, now=now)
    parked = model.all_objects.filter(guid__any_of=plan.parked)
    if plan.parked:  # out of the way while the rows are written one by one
        parked.write(is_active=False, deleted_at=now, deletion=parking())
    content, state = content_columns(model), state_columns(model)
    kept_pictures = {"picture": "picture_digest"} if issubclass(model, Pictured) else None
    updates = plan.updates if verify else [row[:-1] for row in plan.updates]
    options: dict[str, Any] = {"stamp": "updated_at", "unless_same": kept_pictures}
    if update_rows(model, content, updates, versioned=verify, **options) < len(updates):
        raise _Stale
    rewrites = [(*row[:-1], now if row[-1] is NOW else row[-1]) for row in plan.rewrites]
    update_rows(model, (*content, *state, "deleted_at"), rewrites, **options)
    inserts = [(*row[:-1], now if row[-1] is NOW else None, now, now) for row in plan.inserts]
    insert_rows(model, (*content, *state, *NEW, "deleted_at", "created_at", "updated_at"), inserts)
    if plan.parked:
        parked.update(**ACTIVE)
    if plan.moved:
        _refuse(model, snapshot, f"{model.parents[-1]}_guid", carry_below(model, plan.moved, now=now))
    if plan.restored:
        _refuse(model, snapshot, "guid", restore(model, plan.restored, actor=actor, now=now))


def _refuse(model: type[Entity], snapshot: Snapshot, column: str, clashes: Sequence[Clash]) -> None:
    """422 for pieces below that can't follow, at the item that would take them along."""
    if clashes:
        index_of = {placed.guid.bytes: index for index, placed in enumerate(snapshot.items) if placed.guid}
        places = [index_of[clash.parents[model.kind.value].bytes] for clash in clashes]
        raise Unprocessable(
            [
                Fault(("body", model.plural, index, column), f"The {clash}", "piece_id_taken")
                for index, clash in sorted(zip(places, clashes, strict=True), key=itemgetter(0))
            ]
        )
