"""Soft deletion with cascade, exact restore, and moving what is below: a fixed number of statements, by level.

`delete_one` and `restore_one` are whole requests, each a transaction of its own. The other functions work within their
caller's transaction, which holds locks on the roots. None of them touches a row outside the tenant scope.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Subquery
from django.db.models.functions import Coalesce
from rest_framework.exceptions import NotFound
from uuid_utils.compat import uuid7

from pieces.bulk import database_clock, insert_rows, update_rows
from pieces.models import LEVELS, LEVELS_BY_KIND, Deletion, Entity, Piece
from pieces.querysets import EntityQuerySet
from ractory.api.errors import Conflict
from ractory.api.retry import in_transaction
from ractory.api.timeouts import allow_cascade

MAX_CLASHES = 100
ACTIVE: Mapping[str, Any] = {"is_active": True, "deleted_at": None, "deletion": None}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, in which request and which sync run: what a Deletion and a changed row record."""

    name: str
    request_id: str = ""
    run: uuid.UUID | None = None

    def deletes(self, model: type[Entity], guid: uuid.UUID, company: uuid.UUID) -> Deletion:
        """The record, not yet saved, of the deletion of this entity."""
        return Deletion(
            company_guid=company,
            kind=model.kind.value,
            root_guid=guid,
            actor=self.name,
            request_id=self.request_id,
        )


@dataclass(frozen=True, slots=True)
class Root:
    """A deleted row that is to come back, and the deletion that took it."""

    guid: uuid.UUID
    deletion: uuid.UUID


@dataclass(frozen=True, slots=True)
class Clash:
    """A piece that can't become active because another active piece of its project has its piece_id."""

    guid: uuid.UUID
    piece_id: str
    holder: uuid.UUID
    parents: Mapping[str, uuid.UUID]  # by kind

    def __str__(self) -> str:
        return f"piece_id {self.piece_id!r} of piece {self.guid} is taken by piece {self.holder}"


def soft_delete(deletions: Sequence[Deletion], *, now: datetime) -> None:
    """Carries out `deletions`, unsaved and of one kind: their roots and everything active below them go."""
    if not deletions:
        return
    model = LEVELS_BY_KIND[deletions[0].kind]
    if model.below():
        allow_cascade()
    roots = [deletion.root_guid for deletion in deletions]
    for level in model.below():
        counts = level.objects.counts_by(root_link(level, model), roots)
        for deletion in deletions:
            setattr(deletion, level.plural, counts.get(deletion.root_guid.bytes, 0))
    for deletion in deletions:
        deletion.created_at = now
    state: dict[str, Any] = {"is_active": False, "deleted_at": now}
    single = deletions[0] if len(deletions) == 1 else None
    if single:
        single.save(force_insert=True)
        model.objects.filter(guid=single.root_guid).write(**state, deletion=single.guid)
    else:
        columns = [field.attname for field in Deletion._meta.concrete_fields]
        insert_rows(Deletion, columns, [tuple(getattr(deletion, name) for name in columns) for deletion in deletions])
        # The roots, whose locks the caller holds, get theirs by guid. What is below them finds it at its root, by the
        # key: not in a list of all of them, once for each row.
        roots_deleted = [(deletion.root_guid, deletion.guid, *state.values(), None) for deletion in deletions]
        update_rows(model, ("guid", "deletion_guid", *state, "sent_digest"), roots_deleted, stamp="updated_at")
    for level in model.below():
        link = root_link(level, model)
        at_root = Subquery(model.all_objects.filter(guid=OuterRef(link)).values("deletion_guid"))
        rows = level.objects.filter(**{f"{link}__any_of": roots})
        rows.write(**state, deletion=single.guid if single else at_root)


def root_link(level: type[Entity], root_model: type[Entity]) -> str:
    """The column by which rows of `level` name their root."""
    return "guid" if level is root_model else f"{root_model.kind.value}_guid"


def restore(model: type[Entity], roots: Sequence[Root], *, actor: Actor, now: datetime) -> list[Clash]:
    """Brings back the rows `roots` and what the same deletion took below each of them.

    Returns the pieces that can't come back; then the caller must roll back.
    """
    if model.below():
        allow_cascade()
    guids, deletions = [root.guid for root in roots], [root.deletion for root in roots]
    for level in (model, *model.below()):
        link = root_link(level, model)
        rows = level.all_objects.filter(**{f"{link}__any_of": guids}, deletion_guid__any_of=deletions)
        clashes = _activate(level, rows)
        if clashes:
            return clashes
    undone = Deletion.objects.filter(guid__any_of=deletions, root_guid__any_of=guids)
    undone.update(restored_at=now, restored_by=actor.name)
    return []


def _activate(level: type[Entity], rows: EntityQuerySet) -> list[Clash]:
    clashes = _clashes(rows) if level is Piece else []
    if not clashes:
        rows.write(**ACTIVE)
    return clashes


def _clashes(rows: EntityQuerySet) -> list[Clash]:
    """Which of these inactive pieces would, once active, share a piece_id with another of their project."""
    key = ("project_guid", "piece_id")
    holders = Piece.objects.filter(**{name: OuterRef(name) for name in key})
    found: list[Any] = list(
        rows.filter(Exists(holders))
        .annotate(holder=Subquery(holders.values("guid")[:1]))
        .order_by("guid")[:MAX_CLASHES]
    )
    twins = rows.order_by().values(*key).annotate(pieces=Count("guid")).filter(pieces__gt=1)
    first: dict[tuple[Any, ...], uuid.UUID] = {}
    piece_ids = [twin["piece_id"] for twin in twins[:MAX_CLASHES]]
    for piece in rows.filter(piece_id__any_of=piece_ids).order_by("guid") if piece_ids else ():
        holder = first.setdefault((piece.project_guid, piece.piece_id), piece.guid)
        if holder != piece.guid:
            piece.holder = holder
            found.append(piece)
    return [
        Clash(
            piece.guid, piece.piece_id, piece.holder, {kind: getattr(piece, f"{kind}_guid") for kind in Piece.parents}
        )
        for piece in found
    ]


def parking() -> uuid.UUID:
    """The guid of a deletion for pieces that are inactive for a moment, while others take over their piece_ids.

    It is never saved: the foreign key, which is checked when the transaction ends, refuses to commit a row that still
    names it.
    """
    return uuid7()


def carry_below(model: type[Entity], moved: Collection[uuid.UUID], *, now: datetime) -> list[Clash]:
    """Gives everything below `moved` rows, which have their new parents already, the same parents.

    Active pieces are inactive for a moment, so that two projects may swap pieces of the same piece_id. Returns the
    pieces whose piece_id is taken where they would go; then the caller must roll back.
    """
    if not moved:
        return []
    if model.below():
        allow_cascade()
    link = f"{model.kind.value}_guid"
    above = model.all_objects.filter(guid=OuterRef(link))
    parents = {f"{name}_guid": Subquery(above.values(f"{name}_guid")) for name in model.parents}
    clashes: list[Clash] = []
    for level in model.below():
        rows = level.all_objects.filter(**{f"{link}__any_of": list(moved)})
        if level is Piece:
            parked = parking()
            deletion = {"deleted_at": Coalesce(F("deleted_at"), now), "deletion": Coalesce(F("deletion"), parked)}
            rows.write(**parents, is_active=False, **deletion)
            clashes = _activate(level, rows.filter(deletion_guid=parked))
        else:
            rows.write(**parents)
    return clashes


def delete_one(model: type[Entity], guid: uuid.UUID, *, actor: Actor, now: datetime | None = None) -> None:
    """Soft-deletes one active entity with everything below it; 404 if there is none.

    The time is asked for under the lock; a test may give another.
    """

    def work() -> None:
        root = model.objects.select_for_update(no_key=True).filter(guid=guid).values("company_guid").first()
        if root is None:
            raise NotFound(f"There is no active {model.kind} {guid}.")
        soft_delete([actor.deletes(model, guid, root["company_guid"])], now=now or database_clock())

    in_transaction(work)


def restore_one(model: type[Entity], guid: uuid.UUID, *, actor: Actor, now: datetime | None = None) -> None:
    """`restore_root` as a request of its own."""
    in_transaction(lambda: restore_root(model, guid, actor=actor, now=now))


def restore_root(model: type[Entity], guid: uuid.UUID, *, actor: Actor, now: datetime | None = None) -> None:
    """Brings back one deleted entity and what its deletion took; 404 if there is none, 409 if it can't come back.

    The time is asked for under the lock; a test may give another.
    """
    row = model.all_objects.select_for_update(no_key=True).filter(guid=guid).first()
    if row is None or row.is_active:
        raise NotFound(f"There is no deleted {model.kind} {guid}.")
    for above in LEVELS:
        above_guid = getattr(row, f"{above.kind.value}_guid", None) if above.kind in model.parents else None
        if above_guid and not above.objects.filter(guid=above_guid).shared("guid"):
            raise Conflict(f"The {above.kind} {above_guid} is deleted; restore it first.")
    # Locked, so that a purge waits, or has marked it already.
    deletion = Deletion.objects.select_for_update(no_key=True).get(guid=row.deletion_guid)
    if deletion.purged_at:
        raise Conflict(f"The {model.kind} {guid} is being purged: not all of it could be restored.")
    clashes = restore(model, [Root(guid, deletion.guid)], actor=actor, now=now or database_clock())
    if clashes:
        raise Conflict("; ".join(map(str, clashes[:3])) + ".")
