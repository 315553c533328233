"""What a batch means for the rows there are: a plan, made in memory, without a query and without a write.

The snapshot holds all that the database has to say about a batch; the plan holds all that is to be done, or every
fault (contract, "Sync": "What one item means").
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pieces.content import Content, content_of, digest_of, hashed
from pieces.deletion import Actor
from pieces.models import Deletion, Entity, Pictured, Piece
from ractory.api.errors import Fault, shown
from sync.schemas import Item

Guid = uuid.UUID
PieceKey = tuple[Guid, str]  # project, piece_id


class Action(StrEnum):
    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    RESTORED = "restored"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a row that a batch names; `content` only as far as some item leaves it out."""

    company: Guid
    is_active: bool
    deleted_at: datetime | None
    deletion: Guid | None
    digest: bytes | None
    parents: tuple[Guid | None, ...]
    piece_id: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parent:
    company: Guid
    is_active: bool
    parents: tuple[Guid, ...]  # its own, from the top


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows that a batch touches or rests on, as one moment of the database has them."""

    stored: Mapping[Guid, Stored]
    parents: Mapping[str, Mapping[Guid, Parent]]  # by kind, then guid
    holders: Mapping[PieceKey, Guid]  # the active pieces that have a piece_id which the batch wants
    companies: frozenset[Guid]  # those of the batch that exist


@dataclass(slots=True)
class Plan:
    """What to do; with `faults`, nothing."""

    actions: list[Action] = field(default_factory=list)  # one per item
    inserts: list[tuple[Any, ...]] = field(default_factory=list)  # in the order of row_columns()
    updates: list[tuple[Any, ...]] = field(default_factory=list)  # in the order of row_columns(), less the FIXED
    deletions: list[Deletion] = field(default_factory=list)
    restored: dict[Guid, Guid] = field(default_factory=dict)  # guid -> the deletion to undo
    moved: list[Guid] = field(default_factory=list)
    parked: list[Guid] = field(default_factory=list)  # pieces whose piece_id goes to another piece of the batch
    changed: list[Guid] = field(default_factory=list)  # rows that must still be as in the snapshot
    leaning_on: dict[str, set[Guid]] = field(default_factory=dict)  # parents, by kind, that must stay as they are
    faults: list[Fault] = field(default_factory=list)


FIXED = ("company_guid", "created_at", "created_in")  # once a row is there


def row_columns(model: type[Entity]) -> tuple[str, ...]:
    """The columns of a plan's rows."""
    return (
        *FIXED,
        *("guid", "updated_at", "changed_in", "is_active", "deleted_at", "deletion_guid", "digest"),
        *(f"{kind}_guid" for kind in model.parents),
        *(("picture",) if issubclass(model, Pictured) else ()),
        *content_of(model).names,
    )


def make_plan(
    model: type[Entity],
    items: Sequence[Item],
    guids: Sequence[Guid],
    snapshot: Snapshot,
    *,
    actor: Actor,
    now: datetime,
) -> Plan:
    """The plan for `items`, whose guids (given, matched or generated) are `guids`."""
    planner = _Planner(model, snapshot, actor, now)
    for index, (item, guid) in enumerate(zip(items, guids, strict=True)):
        planner.add(index, item, guid)
    if model is Piece:
        planner.settle_piece_ids()
    planner.plan.faults.sort(key=lambda fault: fault.loc[2])
    return planner.plan


@dataclass(frozen=True, slots=True)
class _Claim:
    """An item's wish to have a piece_id, after the batch."""

    index: int
    guid: Guid
    key: PieceKey
    keeps: bool  # it has it already


class _Planner:
    def __init__(self, model: type[Entity], snapshot: Snapshot, actor: Actor, now: datetime) -> None:
        self.model, self.snapshot, self.actor, self.now = model, snapshot, actor, now
        self.content: Content = content_of(model)
        self.complete = frozenset(self.content.names) - {"picture_digest"}
        self.pictured = issubclass(model, Pictured)
        self.parent_columns = tuple(f"{kind}_guid" for kind in model.parents)
        self.plan = Plan()
        self.seen: dict[Guid, int] = {}
        self.claims: list[_Claim] = []

    def fault(self, index: int, column: str, msg: str, code: str) -> None:
        self.plan.faults.append(Fault(("body", self.model.plural, index, column), msg, code))

    def add(self, index: int, item: Item, guid: Guid) -> None:
        stored = self.snapshot.stored.get(guid)
        company: Guid = item["company_guid"]
        if not self._is_identity_free(index, guid, company, stored):
            return
        active = item.get("is_active") is not False
        parents = tuple(
            item[column] if column in item else (stored.parents[level] if stored else None)
            for level, column in enumerate(self.parent_columns)
        )
        wrong: set[str] = set()
        if stored is None or not stored.is_active or parents != stored.parents:  # else they are active, and fit
            wrong = self._check_parents(index, company, parents)
        if self.model is Piece and active and "project" not in wrong:
            key = (item["project_guid"], item["piece_id"])
            keeps = stored is not None and stored.is_active and key == (stored.parents[0], stored.piece_id)
            self.claims.append(_Claim(index, guid, key, keeps))
        values = self._values(item, stored)
        digest = digest_of(self.content.names, values)
        action = self._act(guid, company, stored, active, same=(digest, parents))
        self.plan.actions.append(action)
        if action is not Action.UNCHANGED:
            head = self._head(guid, stored, active)
            picture = (item.get("picture"),) if self.pictured else ()
            row = (*head, digest, *parents, *picture, *values)
            if stored is None:
                self.plan.inserts.append((company, self.now, self.actor.run, *row))
            else:
                self.plan.updates.append(row)

    def _is_identity_free(self, index: int, guid: Guid, company: Guid, stored: Stored | None) -> bool:
        first = self.seen.setdefault(guid, index)
        if first != index:
            self.fault(index, "guid", f"The guid {guid} stands at index {first} already", "guid_duplicate")
        elif company not in self.snapshot.companies:
            self.fault(index, "company_guid", f"There is no company {company}", "company_not_found")
        elif stored is not None and stored.company != company:
            self.fault(index, "guid", f"The guid {guid} is taken by another company", "guid_taken")
        else:
            return True
        return False

    def _check_parents(self, index: int, company: Guid, parents: tuple[Guid | None, ...]) -> set[str]:
        """Faults for parents that are missing, deleted or of another parent; returns their kinds.

        Whether one fits the parents above it is only asked while those are right.
        """
        wrong: set[str] = set()
        for kind, column, guid in zip(self.model.parents, self.parent_columns, parents, strict=True):
            if guid is None:
                continue
            parent = self.snapshot.parents[kind].get(guid)
            if parent is None or parent.company != company:
                wrong.add(kind)
                self.fault(index, column, f"There is no {kind} {guid} in company {company}", "parent_not_found")
            elif not parent.is_active:
                wrong.add(kind)
                self.fault(index, column, f"The {kind} {guid} is deleted", "parent_deleted")
            elif not wrong and parent.parents != parents[: len(parent.parents)]:
                wrong.add(kind)
                above, other = self.model.parents[len(parent.parents) - 1], parent.parents[-1]
                self.fault(index, column, f"The {kind} {guid} belongs to {above} {other}", "parent_mismatch")
            self.plan.leaning_on.setdefault(kind, set()).add(guid)
        return wrong

    def _values(self, item: Item, stored: Stored | None) -> tuple[Any, ...]:
        """The content after the batch: what the item says, else what is stored, else the defaults."""
        if item.keys() >= self.complete and not self.pictured:
            return self.content.pick(item)
        source = {**(stored.content if stored else self.content.blank), **item}
        if item.get("picture") is not None:
            source["picture_digest"] = hashed(item["picture"])
        elif "picture" in item:
            source["picture_digest"] = None
        return self.content.pick(source)

    def _act(
        self,
        guid: Guid,
        company: Guid,
        stored: Stored | None,
        active: bool,
        *,
        same: tuple[bytes, tuple[Guid | None, ...]],
    ) -> Action:
        plan = self.plan
        if stored is None:
            if not active:
                plan.deletions.append(self.actor.deletes(self.model, guid, company, self.now))
            return Action.INSERTED
        if active == stored.is_active and same == (stored.digest, stored.parents):
            return Action.UNCHANGED
        plan.changed.append(guid)
        if same[1] != stored.parents:
            plan.moved.append(guid)
        if active and not stored.is_active:
            if stored.deletion:
                plan.restored[guid] = stored.deletion
            return Action.RESTORED
        if stored.is_active and not active:
            plan.deletions.append(self.actor.deletes(self.model, guid, company, self.now))
            return Action.DELETED
        return Action.UPDATED

    def _head(self, guid: Guid, stored: Stored | None, active: bool) -> tuple[Any, ...]:
        """guid, updated_at, changed_in, is_active, deleted_at, deletion."""
        start = (guid, self.now, self.actor.run, active)
        if active:
            return (*start, None, None)
        if stored is not None and not stored.is_active:
            return (*start, stored.deleted_at, stored.deletion)
        return (*start, self.now, self.plan.deletions[-1].guid)

    def settle_piece_ids(self) -> None:
        """Faults for a piece_id that another active piece of the project has, after the batch.

        A piece that keeps its piece_id has it; of several that want it, the first. What a piece of the batch gives
        up is free, but it must be out of the way while the rows are written one by one.
        """
        owners: dict[PieceKey, Guid] = {claim.key: claim.guid for claim in self.claims if claim.keeps}
        final = {claim.guid: claim.key for claim in self.claims}
        for claim in self.claims:
            if claim.keeps:
                continue
            holder = self.snapshot.holders.get(claim.key)
            if holder is not None and holder not in self.seen:
                owners.setdefault(claim.key, holder)
            owner = owners.setdefault(claim.key, claim.guid)
            if owner != claim.guid:
                msg = f"piece_id {shown(claim.key[1])} is taken in project {claim.key[0]} by piece {owner}"
                self.fault(claim.index, "piece_id", msg, "piece_id_taken")
            elif holder is not None and holder != claim.guid and holder in final:
                self.plan.parked.append(holder)
