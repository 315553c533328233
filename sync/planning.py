"""What a batch means for the rows there are: a plan, made in memory, without a query and without a write.

The snapshot holds all that the database has to say about a batch; the plan holds all that is to be done, or every
fault (contract, "Sync": "What one item means").
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pieces.content import Content, content_of, digest_of, hashed, sent_digest
from pieces.deletion import Actor, Root
from pieces.models import Deletion, Entity, Pictured, Piece
from ractory.api.errors import Fault, shown
from sync.schemas import Item

Guid = uuid.UUID
# What dicts and sets of guids are keyed by: `guid.bytes`, whose hash is salted. That of a UUID is not, so that a client
# could send thousands of guids with the same one.
GuidKey = bytes
PieceKey = tuple[GuidKey, str]  # project, piece_id
Parents = tuple[Guid | None, ...]  # from the top


class Action(StrEnum):
    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    RESTORED = "restored"
    DELETED = "deleted"


class Stored(NamedTuple):
    """What is known of a row that a batch names; `content` only as far as some item leaves it out."""

    version: str  # on PostgreSQL: another one as soon as the row has been written
    is_active: bool
    deleted_at: datetime | None
    deletion: Guid | None
    digest: bytes | None
    picture_digest: bytes | None
    piece_id: str | None
    company: Guid
    parents: Parents
    content: Mapping[str, Any]


class Parent(NamedTuple):
    company: Guid
    is_active: bool
    parents: Parents  # its own, from the top


class Placed(NamedTuple):
    """An item with its row, if there is one, and the parents that it will have."""

    item: Item
    guid: Guid | None  # None: it matches nothing, and is not to be there
    stored: Stored | None
    parents: Parents
    active: bool
    settled: bool  # it stays where it is, and does not come back to life there


def place(model: type[Entity], item: Item, guid: Guid | None, stored: Stored | None) -> Placed:
    """The parents are those that the item names, else those that the row has."""
    active = item.get("is_active") is not False
    columns = model.parent_columns()
    if stored is None:
        return Placed(item, guid, None, tuple([item.get(column) for column in columns]), active, False)
    parents = tuple([item.get(column, kept) for column, kept in zip(columns, stored.parents, strict=True)])
    settled = parents == stored.parents and (stored.is_active or not active)
    return Placed(item, guid, stored, parents, active, settled)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A batch, and the rows that it touches or rests on, as one moment of the database has them."""

    items: Sequence[Placed]
    parents: Mapping[str, Mapping[GuidKey, Parent]]  # by kind, then guid; of items that are not settled
    holders: Mapping[PieceKey, Guid]  # the active pieces that have a piece_id which the batch wants
    companies: frozenset[GuidKey]  # those of the batch that exist
    taken: frozenset[GuidKey] = frozenset()  # the guids that are out of scope: rows of other companies have them
    sent: Sequence[bytes] = ()  # the bytes of each item, or nothing


@dataclass(slots=True)
class Plan:
    """What to do; with `faults`, nothing."""

    actions: list[Action] = field(default_factory=list)  # one per item
    inserts: list[tuple[Any, ...]] = field(default_factory=list)  # columns: content, state, NEW, deleted_at
    updates: list[tuple[Any, ...]] = field(default_factory=list)  # columns: content, then the version
    rewrites: list[tuple[Any, ...]] = field(default_factory=list)  # columns: content, state, deleted_at
    deletions: list[Deletion] = field(default_factory=list)
    restored: list[Root] = field(default_factory=list)
    moved: list[Guid] = field(default_factory=list)
    parked: list[Guid] = field(default_factory=list)  # pieces whose piece_id goes to another piece of the batch
    changed: list[tuple[Guid, str]] = field(default_factory=list)  # rows that must still have these versions
    # Parents, by kind, that must stay as they are.
    leaning_on: dict[str, dict[GuidKey, Guid]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether all that is written are rows of the batch, each of them once."""
        return not (self.rewrites or self.deletions or self.parked)


NEW = ("company_guid", "created_in")  # columns that sync sets in new rows only
NOW = object()  # in place of a `deleted_at`: the moment of writing, which is asked for once the locks are held


def content_columns(model: type[Entity]) -> tuple[str, ...]:
    """The columns that an update of the content sets, the key first; with `updated_at`, which the UPDATE computes."""
    picture = ("picture",) if issubclass(model, Pictured) else ()
    return ("guid", "changed_in", "digest", "sent_digest", *picture, *content_of(model).names)


def state_columns(model: type[Entity]) -> tuple[str, ...]:
    """The columns of where a row is and whether it is active; most updates leave them, and their indexes, alone."""
    return ("is_active", "deletion_guid", *model.parent_columns())


def make_plan(model: type[Entity], snapshot: Snapshot, *, actor: Actor) -> Plan:
    """The plan for the items of the snapshot."""
    planner = _Planner(model, snapshot, actor)
    for index, placed in enumerate(snapshot.items):
        planner.add(index, placed)
    if model is Piece:
        planner.settle_piece_ids()
    planner.plan.faults.sort(key=lambda fault: fault.loc[2])
    return planner.plan


class _Planner:
    def __init__(self, model: type[Entity], snapshot: Snapshot, actor: Actor) -> None:
        self.model, self.snapshot, self.actor = model, snapshot, actor
        self.content: Content = content_of(model)
        self.pictured = issubclass(model, Pictured)
        self.plan = Plan()
        self.seen: dict[GuidKey, int] = {}
        self.company: Guid | None = None  # the last that was right; many items share theirs
        self.fitting: tuple[Guid, Parents] | None = None  # the last that were right; many items share theirs
        self.wanted: list[tuple[int, Guid, PieceKey]] = []  # by active pieces: index, guid and what they want to be
        self.newcomers = False  # whether one of them is not what it wants to be yet

    def fault(self, index: int, column: str, msg: str, code: str) -> None:
        self.plan.faults.append(Fault(("body", self.model.plural, index, column), msg, code))

    def add(self, index: int, placed: Placed) -> None:
        item, guid, stored, parents, active, settled = placed
        company: Guid = item["company_guid"]
        if not self._is_company_known(index, company):
            return
        if guid is None:
            self._check_parents(index, company, parents, active=False)
            self.plan.actions.append(Action.UNCHANGED)
            return
        if not self._is_identity_free(index, guid, company, stored):
            return
        # A row that stays below its parents as it is, active or deleted, proves them fit for that.
        wrong: Collection[str] = ()
        if not settled and (company, parents) != self.fitting:
            # A row that comes as a deleted one may be below deleted parents.
            wrong = self._check_parents(index, company, parents, active=active or stored is not None)
        if active and self.model is Piece and "project" not in wrong:
            self.wanted.append((index, guid, (item["project_guid"].bytes, item["piece_id"])))
            if not settled or not stored or stored.piece_id != item["piece_id"]:
                self.newcomers = True
        values = self._values(item, stored)
        digest = digest_of(self.content, values)
        action = self._act(placed, guid, company, digest)
        self.plan.actions.append(action)
        if action is Action.UNCHANGED:
            return
        picture = (item.get("picture"),) if self.pictured else ()
        # Bytes that name no guid may mean another row the next time.
        by_guid = self.snapshot.sent and item.get("guid")
        sent = sent_digest(self.content, self.snapshot.sent[index]) if by_guid else None
        row = (guid, self.actor.run, digest, sent, *picture, *values)
        if settled and action is Action.UPDATED:
            self.plan.updates.append((*row, stored.version if stored else None))
            return
        deletion, deleted_at = self._deletion(stored, active)
        row += (active, deletion, *parents)
        if stored is None:
            self.plan.inserts.append((*row, company, self.actor.run, deleted_at))
        else:
            self.plan.rewrites.append((*row, deleted_at))

    def _is_company_known(self, index: int, company: Guid) -> bool:
        if company is not self.company and company.bytes not in self.snapshot.companies:
            self.fault(index, "company_guid", f"There is no company {company}", "company_not_found")
            return False
        self.company = company
        return True

    def _is_identity_free(self, index: int, guid: Guid, company: Guid, stored: Stored | None) -> bool:
        first = self.seen.setdefault(guid.bytes, index)
        if first != index:
            self.fault(index, "guid", f"The guid {guid} stands at index {first} already", "guid_duplicate")
        elif (stored is None and guid.bytes in self.snapshot.taken) or (
            stored is not None and stored.company is not company and stored.company != company
        ):
            self.fault(index, "guid", f"The guid {guid} is taken by another company", "guid_taken")
        else:
            return True
        return False

    def _check_parents(self, index: int, company: Guid, parents: Parents, *, active: bool) -> set[str]:
        """Faults for parents that are missing, of another parent or, if `active`, deleted; returns their kinds.

        Whether one fits the parents above it is only asked while those are right.
        """
        wrong: set[str] = set()
        for kind, guid in zip(self.model.parents, parents, strict=True):
            if guid is None:
                continue
            parent = self.snapshot.parents[kind].get(guid.bytes)
            fault = None
            if parent is None or parent.company != company:
                fault = f"There is no {kind} {guid} in company {company}", "parent_not_found"
            elif active and not parent.is_active:
                fault = f"The {kind} {guid} is deleted", "parent_deleted"
            elif not wrong and parent.parents != parents[: len(parent.parents)]:
                above, other = self.model.parents[len(parent.parents) - 1], parent.parents[-1]
                fault = f"The {kind} {guid} belongs to {above} {other}", "parent_mismatch"
            if fault:
                wrong.add(kind)
                self.fault(index, f"{kind}_guid", *fault)
            self.plan.leaning_on.setdefault(kind, {})[guid.bytes] = guid
        if active and not wrong:
            self.fitting = (company, parents)
        return wrong

    def _values(self, item: Item, stored: Stored | None) -> tuple[Any, ...]:
        """The content after the batch: what the item says, else what is stored, else the defaults."""
        if self.pictured:
            picture = item.get("picture")
            kept = stored.picture_digest if stored and "picture" not in item else None
            item["picture_digest"] = kept if picture is None else hashed(picture)
        try:
            return self.content.pick(item)
        except KeyError:  # not everything was said
            return self.content.pick({**(stored.content if stored else self.content.blank), **item})

    def _act(self, placed: Placed, guid: Guid, company: Guid, digest: bytes) -> Action:
        plan, stored = self.plan, placed.stored
        if stored is None:
            if not placed.active:
                plan.deletions.append(self.actor.deletes(self.model, guid, company))
            return Action.INSERTED
        if placed.settled and placed.active == stored.is_active and digest == stored.digest:
            return Action.UNCHANGED
        plan.changed.append((guid, stored.version))
        if not placed.settled and placed.parents != stored.parents:
            plan.moved.append(guid)
        if placed.active and not stored.is_active:
            if stored.deletion:
                plan.restored.append(Root(guid, stored.deletion))
            return Action.RESTORED
        if stored.is_active and not placed.active:
            plan.deletions.append(self.actor.deletes(self.model, guid, company))
            return Action.DELETED
        return Action.UPDATED

    def _deletion(self, stored: Stored | None, active: bool) -> tuple[Guid | None, Any]:
        """The deletion that the row is in after the batch, and its moment."""
        if active:
            return None, None
        if stored is not None and not stored.is_active:
            return stored.deletion, stored.deleted_at
        return self.plan.deletions[-1].guid, NOW

    def settle_piece_ids(self) -> None:
        """Faults for a piece_id that another active piece of the project has, after the batch.

        A piece that keeps its piece_id has it; of several that want it, the first. What a piece of the batch gives
        up is free, but it must be out of the way while the rows are written one by one.
        """
        if not self.newcomers:
            return
        final = {guid.bytes: key for _, guid, key in self.wanted}
        holders = self.snapshot.holders
        owners = {
            key: holder
            for key, holder in holders.items()
            if holder.bytes not in self.seen or final.get(holder.bytes) == key
        }
        for index, guid, key in self.wanted:
            owner, holder = owners.setdefault(key, guid), holders.get(key)
            if owner != guid:
                project = self.snapshot.items[index].item["project_guid"]
                msg = f"piece_id {shown(key[1])} is taken in project {project} by piece {owner}"
                self.fault(index, "piece_id", msg, "piece_id_taken")
            elif holder is not None and holder != guid and holder.bytes in final:
                self.plan.parked.append(holder)
