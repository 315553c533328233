"""What a batch means for the rows there are: `look` asks the database, without locks, for the context; `make_plan`
makes of it, without a query, all that is to be done, or every fault (contract, "Sync")."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any, NamedTuple, cast
from uuid import UUID as Guid

from django.db import connection
from django.db.models import BinaryField, CharField, Value
from django.db.models.functions import Cast

from pieces.changes import Change, Root, State
from pieces.content import content_of, digest_of, hashed, sent_digest
from pieces.expressions import PieceKey, holders
from pieces.models import LEVELS_BY_KIND, Deletion, Entity, Kind, Pictured, Piece
from pieces.querysets import VERSION, fetched
from ractory.api.errors import Fault, Mentions, shown
from sync.matching import MATCHED_BY, key_of, match_items
from sync.schemas import IF_UPDATED_AT, Item, uuid_of
from tenants.models import Company
from tenants.scope import current_scope, every_company

# What dicts and sets of guids are keyed by: `guid.bytes`, whose hash is salted. That of a UUID is not, so that a client
# could send thousands of guids with the same one.
GuidKey = bytes
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
    updated_at: datetime | None = None  # if some item asks for it


class Parent(NamedTuple):
    company: Guid
    is_active: bool
    parents: Parents  # its own, from the top

    @staticmethod
    def columns(level: type[Entity]) -> tuple[str, ...]:
        return ("guid", "company_guid", "is_active", *level.parent_columns())

    @classmethod
    def by_guid(cls, rows: Iterable[tuple[Any, ...]]) -> dict[GuidKey, "Parent"]:
        """Of rows of `columns`."""
        return {guid.bytes: cls(company, is_active, tuple(above)) for guid, company, is_active, *above in rows}


class Placed(NamedTuple):
    """An item with its row, if there is one, and the parents that it will have."""

    place: int  # in the batch, for faults
    item: Item
    raw: bytes | None  # the bytes of it, where they alone say which row is meant
    guid: Guid | None  # None: it matches nothing, and is not to be there
    stored: Stored | None
    parents: Parents
    active: bool
    stays: bool  # where it is, and does not become active there: it proves its parents fit for it as it is
    wants_piece_id: bool  # it is to be active, and is not the one that has this piece_id already; of pieces


def place(
    model: type[Entity], index: int, item: Item, guid: Guid | None, stored: Stored | None, raw: bytes | None = None
) -> Placed:
    """The parents are those that the item names, else those that the row has."""
    active, columns = item.get("is_active") is not False, model.parent_columns()
    kept = stored.parents if stored else (None,) * len(columns)
    parents = tuple([item.get(column, parent) for column, parent in zip(columns, kept, strict=True)])
    stays = stored is not None and parents == kept and (stored.is_active or not active)
    wants = active and not (stays and stored and stored.piece_id == item.get("piece_id"))
    return Placed(index, item, raw, guid, stored, parents, active, stays, wants)


@dataclass(frozen=True, slots=True)
class Context:
    """A batch, and the rows that it touches or rests on, as one moment of the database has them."""

    items: Sequence[Placed]
    parents: Mapping[Kind, Mapping[GuidKey, Parent]]  # by guid; of items that do not stay where they are
    holders: Mapping[PieceKey, Guid]  # the active pieces that have a piece_id which the batch wants
    companies: frozenset[GuidKey]  # those of the batch that exist
    taken: frozenset[GuidKey] = frozenset()  # the guids that are out of scope: rows of other companies have them
    recognised: Mapping[GuidKey, int] = field(default_factory=dict)  # places of items that are not among `items`
    snapshot: Mapping[str, Guid] = field(default_factory=dict)  # the relations that all items must have then
    ambiguous: Collection[int] = ()  # the places of items that match several rows


def look(
    model: type[Entity],
    items: Mapping[int, Item],
    *,
    match: bool,
    raws: Mapping[int, bytes] | None,  # of items that may be recognised by these when they come again
    recognised: Mapping[int, Guid] | None,
    snapshot: Mapping[str, Guid],
) -> Context:
    """The context of the items, by their places, within the scope; a fixed number of queries."""
    guids, ambiguous = match_items(model, items, match=match)
    stored = _stored(model, items.values(), guids)
    recognisable = raws if raws and current_scope().company else {}
    placed = []
    for (index, item), guid in zip(items.items(), guids, strict=True):
        # Bytes that name no guid, or depend on when they come, may mean something else the next time.
        raw = recognisable.get(index) if item.get("guid") and IF_UPDATED_AT not in item else None
        placed.append(place(model, index, item, guid, stored.get(guid.bytes) if guid else None, raw))
    named = [parents for parents, _ in groupby(each.parents for each in placed if not each.stays)]
    parents = {}
    for kind, guids_there in zip(model.parents, zip(*named, strict=True), strict=False):
        level = LEVELS_BY_KIND[kind]
        rows = level.all_objects.filter(guid__any_of=_distinct(guids_there))
        parents[kind] = Parent.by_guid(rows.values_list(*Parent.columns(level)))
    wanted = [key_of(model, each.item) for each in placed if each.wants_piece_id] if model is Piece else []
    unknown = [guid for item in items.values() if (guid := item.get("guid")) and guid.bytes not in stored]
    return Context(
        items=placed,
        parents=parents,
        holders=holders(wanted),
        companies=_companies(items.values()),
        taken=_taken(model, unknown),
        recognised={guid.bytes: index for index, guid in recognised.items()} if recognised else {},
        snapshot=snapshot,
        ambiguous=ambiguous,
    )


def _stored(model: type[Entity], items: Iterable[Item], guids: Sequence[Guid | None]) -> dict[GuidKey, Stored]:
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
        *(["updated_at"] if any(IF_UPDATED_AT in item for item in items) else []),
    )
    rows = model.all_objects.filter(guid__any_of=[guid for guid in guids if guid]).values_list(*columns)
    found, above = {}, len(relations)
    for guid, version, is_active, deleted_at, deletion, digest, picture, piece_id, *rest in fetched(rows):
        company, *parents = [uuid_of(value) if isinstance(value, str) else value for value in rest[:above]]
        kept = dict(zip(missing, rest[above:], strict=False))  # behind these there may be one more
        found[guid.bytes] = Stored(
            *(version, is_active, deleted_at, deletion, digest, picture, piece_id, company, tuple(parents), kept),
            *rest[above + len(missing) :],
        )
    return found


def _taken(model: type[Entity], unknown: Sequence[Guid]) -> frozenset[GuidKey]:
    """Those of the guids, unknown within the scope, that another company holds: nothing else is asked of its rows."""
    own = current_scope().company
    if own is None or not unknown:
        return frozenset()
    with every_company():
        foreign = model.across_companies.filter(guid__any_of=unknown).exclude(company=own)
        return frozenset(guid.bytes for guid in foreign.values_list("guid", flat=True))


def _distinct(guids: Iterable[Guid | None]) -> list[Guid]:
    return list({guid.bytes: guid for guid in guids if guid}.values())


def _companies(items: Iterable[Item]) -> frozenset[GuidKey]:
    """Those of the items' companies that exist."""
    own = current_scope().company
    if own is not None:  # all items are in it (submission._check)
        return frozenset([own.bytes])
    known = Company.objects.filter(guid__any_of=_distinct(item["company_guid"] for item in items))
    return frozenset(guid.bytes for guid in known.values_list("guid", flat=True))


def make_plan(model: type[Entity], context: Context, *, undoing: bool = False) -> "Plan":
    """`undoing`: what has been deleted may go back below parents that are."""
    plan = Plan(model, context, undoing=undoing)
    for placed in context.items:
        plan.add(placed)
    plan.check_piece_ids()
    plan.faults.sort(key=lambda fault: fault.loc[2])
    return plan


class Plan:
    """What to do with a batch, item by item; with `faults`, nothing."""

    def __init__(self, model: type[Entity], context: Context, *, undoing: bool) -> None:
        self.model, self.context, self.undoing = model, context, undoing
        self.content, self.pictured = content_of(model), issubclass(model, Pictured)
        self.actions = list[Action]()  # one per item
        self.inserts, self.updates = list[Change](), list[Change]()
        self.deletions, self.restored, self.moved = list[Deletion](), list[Root](), list[Guid]()
        self.out_of_the_way = list[Guid]()  # pieces whose piece_id goes to another one of the batch
        self.rests_on: dict[Kind, dict[GuidKey, Guid]] = {}  # parents that must stay as they are
        self.faults = list[Fault]()
        self.seen: dict[GuidKey, int] = {}
        # The last parents that were right: most items of a batch share theirs, and checking is a twentieth of the time.
        self.fitting: tuple[Guid, Parents] | None = None
        self.wanted: list[tuple[int, Guid, PieceKey]] = []  # by active pieces: place, guid and what they want to be

    @property
    def is_plain(self) -> bool:
        """Whether all that is written are rows of the batch, each of them once."""
        return not (self.deletions or self.out_of_the_way or any(change.state for change in self.updates))

    def fault(self, index: int, column: str, msg: str, code: str, mentions: Mentions | None = None) -> None:
        self.faults.append(Fault(("body", self.model.plural, index, column), msg, code, mentions or {}))

    def add(self, placed: Placed) -> None:
        index, item, guid, stored = placed.place, placed.item, placed.guid, placed.stored
        parents, active, stays = placed.parents, placed.active, placed.stays
        company: Guid = item["company_guid"]
        if company.bytes not in self.context.companies:
            self.fault(index, "company_guid", f"There is no company {company}", "company_not_found")
            return
        if (guid and not self._is_identity_free(index, guid, company, stored)) or not self._is_as_expected(placed):
            return
        if guid is None:
            self._check_parents(index, company, parents, active=False)
            self.actions.append(Action.UNCHANGED)
            return
        wrong: Collection[Kind] = ()
        if not stays and (company, parents) != self.fitting:
            # A row that comes as a deleted one may be below deleted parents.
            wrong = self._check_parents(index, company, parents, active=active or not (self.undoing or stored is None))
        if active and self.model is Piece and Kind.PROJECT not in wrong:
            self.wanted.append((index, guid, (item["project_guid"].bytes, item["piece_id"])))
        digest = digest_of(self.content, content := self._content(item, stored))
        action = self._act(placed, guid, company, digest)
        self.actions.append(action)
        if action is Action.UNCHANGED:
            return
        change = Change(
            guid,
            company,
            digest,
            sent_digest(self.content, placed.raw) if placed.raw else None,
            item.get("picture") if self.pictured else None,
            content,
            None if stays and action is Action.UPDATED else self._state(stored, parents, active=active),
            stored.version if stored else None,
        )
        (self.updates if stored else self.inserts).append(change)

    def _is_identity_free(self, index: int, guid: Guid, company: Guid, stored: Stored | None) -> bool:
        key = guid.bytes
        other = self.seen.setdefault(key, index)
        if other == index:
            other = self.context.recognised.get(key, index)
        if other != index:
            first, second = sorted((other, index))
            msg = f"The guid {guid} stands at index {first} already"
            self.fault(second, "guid", msg, "guid_duplicate", {guid: self.model.kind})
        elif (stored is None and key in self.context.taken) or (stored is not None and stored.company != company):
            self.fault(index, "guid", f"The guid {guid} is taken by another company", "guid_taken")
        else:
            return True
        return False

    def _is_as_expected(self, placed: Placed) -> bool:
        """Whether the row is the one that the sender means: nobody has changed it since, and it is in the snapshot."""
        index, item, stored, found = placed.place, placed.item, placed.stored, len(self.faults)
        now = stored.updated_at if stored else None
        if placed.guid and IF_UPDATED_AT in item and item[IF_UPDATED_AT] != now:
            msg = f"was changed at {now:%Y-%m-%dT%H:%M:%S.%fZ}" if now else "is not there"
            self.fault(index, IF_UPDATED_AT, f"The {self.model.kind} {placed.guid} {msg}", "changed_meanwhile")
        if index in self.context.ambiguous:
            name = MATCHED_BY[self.model][0]
            self.fault(index, name, f"Several have the {name} {shown(item[name])}", "match_ambiguous")
        names = ("company_guid", *self.model.parent_columns())
        for name, value in zip(names, (item["company_guid"], *placed.parents), strict=True):
            if (wanted := self.context.snapshot.get(name)) and value != wanted:
                self.fault(index, name, f"The snapshot is of the {name} {wanted}", "outside_snapshot")
        return len(self.faults) == found

    def _check_parents(self, index: int, company: Guid, parents: Parents, *, active: bool) -> set[Kind]:
        """Faults for parents that are missing, of another parent or, if `active`, deleted; returns their kinds. Whether
        one fits the parents above it is only asked while those are right."""
        wrong: set[Kind] = set()
        for kind, guid in zip(self.model.parents, parents, strict=True):
            if guid is None:
                continue
            parent = self.context.parents[kind].get(guid.bytes)
            fault, mentions = None, {guid: kind}
            if parent is None or parent.company != company:
                fault = f"There is no {kind} {guid} in company {company}", "parent_not_found"
            elif active and not parent.is_active:
                fault = f"The {kind} {guid} is deleted", "parent_deleted"
            elif not wrong and parent.parents != parents[: len(parent.parents)]:
                above, other = self.model.parents[len(parent.parents) - 1], cast(Guid, parent.parents[-1])
                fault, mentions[other] = (f"The {kind} {guid} belongs to {above} {other}", "parent_mismatch"), above
            if fault:
                wrong.add(kind)
                self.fault(index, kind.column, *fault, mentions)
            self.rests_on.setdefault(kind, {})[guid.bytes] = guid
        if active and not wrong:
            self.fitting = (company, parents)
        return wrong

    def _content(self, item: Item, stored: Stored | None) -> tuple[Any, ...]:
        """The content after the batch: what the item says, else what is stored, else the defaults."""
        if self.pictured and not (self.undoing and "picture_digest" in item):  # an undo knows no more of a picture
            picture = item.get("picture")
            kept = stored.picture_digest if stored and "picture" not in item else None
            item["picture_digest"] = kept if picture is None else hashed(picture)
        try:
            return self.content.pick(item)
        except KeyError:  # not everything was said
            return self.content.pick({**(stored.content if stored else self.content.blank), **item})

    def _act(self, placed: Placed, guid: Guid, company: Guid, digest: bytes) -> Action:
        stored, active = placed.stored, placed.active
        if stored and placed.stays and active == stored.is_active and digest == stored.digest:
            return Action.UNCHANGED
        if not active and (stored is None or stored.is_active):
            self.deletions.append(Deletion(company_guid=company, kind=self.model.kind.value, root_guid=guid))
        if stored is None:
            return Action.INSERTED
        if not placed.stays and placed.parents != stored.parents:
            self.moved.append(guid)
        if active and not stored.is_active:
            if stored.deletion:
                self.restored.append(Root(guid, stored.deletion))
            return Action.RESTORED
        return Action.UPDATED if active == stored.is_active else Action.DELETED

    def _state(self, stored: Stored | None, parents: Parents, *, active: bool) -> State:
        if active:
            return State(True, None, None, parents)
        if stored is not None and not stored.is_active:
            return State(False, stored.deletion, stored.deleted_at, parents)
        return State(False, self.deletions[-1].guid, None, parents)

    def check_piece_ids(self) -> None:
        """Faults for a piece_id that another active piece of the project has, after the batch. A piece that keeps its
        piece_id has it; of several that want it, the first. What a piece of the batch gives up is free, but must be out
        of the way while the rows are written one by one."""
        if self.model is not Piece or not any(placed.wants_piece_id for placed in self.context.items):
            return
        final = {guid.bytes: key for _, guid, key in self.wanted}
        holders = self.context.holders
        owners = {
            key: holder
            for key, holder in holders.items()
            if holder.bytes not in self.seen or final.get(holder.bytes) == key
        }
        for index, guid, key in self.wanted:
            owner, holder = owners.setdefault(key, guid), holders.get(key)
            if owner != guid:
                project = Guid(bytes=key[0])
                msg = f"piece_id {shown(key[1])} is taken in project {project} by piece {owner}"
                self.fault(index, "piece_id", msg, "piece_id_taken", {project: Kind.PROJECT, owner: Kind.PIECE})
            elif holder is not None and holder != guid and holder.bytes in final:
                self.out_of_the_way.append(holder)
