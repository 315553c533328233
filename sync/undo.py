"""Taking a run back (contract, "Undo"), by the plan, the locks and the rules of a sync, in one transaction. The rows
that the run itself was about (its roots) are put back; what it took along below follows by the same rules."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast
from uuid import UUID as Guid

from django.db import connection, transaction
from django.db.models import OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from rest_framework.exceptions import NotFound

from pieces.acts import Origin
from pieces.changes import Acts, picture_again
from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, LEVELS_BY_PLURAL, Act, Deletion, Entity, Pictured
from pieces.querysets import dicts
from pieces.receipts import SyncRun
from ractory.api.errors import MAX_LISTED, Conflict, Fault, Gone, Unprocessable
from ractory.api.retry import in_transaction
from ractory.api.timeouts import allow_cascade
from sync.planning import Action
from sync.schemas import Item
from sync.submission import MAX_TRIES, Options, write_items

State = dict[str, Any]  # a row's columns by name
Rows = dict[type[Entity], Any]  # of each level a queryset
GONE = {"is_active": False}  # what a row becomes that there was not before

# Rows with an act that left them as the acts of a run did: these themselves, and the undo of what came after them (of
# which a company has one). So whoever has taken back what was done last can take back what was done before. The undo is
# a subquery, as PostgreSQL, which does not know how few rows there are, might read the whole history for a join.
AS_LEFT = """
    WITH RECURSIVE as_left(guid, act) AS (
        SELECT guid, changed_in FROM {table} WHERE changed_in {among}
        UNION SELECT guid, changed_in FROM {history} WHERE changed_in {among}
        UNION SELECT guid, (
            SELECT undo.guid FROM {history} AS state JOIN pieces_act AS later ON later.guid = state.replaced_in
            JOIN pieces_act AS undo ON undo.undoes = later.run_guid AND undo.company_guid = later.company_guid
            WHERE state.changed_in = as_left.act AND state.guid = as_left.guid LIMIT 1
        ) FROM as_left WHERE act IS NOT NULL
    )
    SELECT found.guid FROM as_left
    JOIN {wanted} AS found ON found.guid = as_left.guid AND found.changed_in = as_left.act
"""
BY_HAND = "(SELECT guid, changed_in FROM {history} WHERE changed_in = replaced_in)"


class Undone(NamedTuple):
    """What an undo did, in rows; `skipped` are those that the run was about and that were left as they are."""

    changed: int
    deleted: int
    restored: int
    skipped: int


def undo(run: Guid, *, origin: Origin, dry_run: bool = False, skip: bool = False) -> Undone:
    """Takes the run (or the act) of this guid back, within the scope and in a transaction of its own, with a receipt.
    `skip` leaves what is in conflict as it is. Raises 404; Conflict with the conflicts, or if it has been undone
    already; Gone if its history is not kept any more. Then nothing is written."""
    acts = acts_of_run(run)
    attempt = _Attempt(acts, run, replace(origin, undoes=run), skip=skip, dry_run=dry_run)
    first: Sequence[Fault] = ()
    for _ in range(MAX_TRIES if skip else 1):
        try:
            return in_transaction(attempt.carry_out)
        except Unprocessable as refusal:  # by the rules of a sync: a parent that is deleted, a piece_id that is taken
            first = first or refusal.found
            attempt.left_out |= {attempt.places[cast(int, fault.loc[2])] for fault in refusal.found}
    raise _in_conflict(_mentioned(first, acts), acts, first[0].msg)


def acts_of_run(run: Guid) -> list[Guid]:
    """The acts of a run, none if it wrote nothing; of an act that has no receipt, itself. Raises 404 if there is no
    such run, 410 if it wrote once and that is not kept any more."""
    acts = list(Act.objects.filter(Q(run_guid=run) | Q(guid=run)).values_list("guid", flat=True))
    if not acts:
        receipt = SyncRun.objects.filter(guid=run).first()
        if receipt is None:
            raise NotFound(f"There is no run {run}.")
        if not receipt.dry_run and receipt.inserted + receipt.updated > receipt.unchanged:
            raise Gone(f"The history of the run {run} is not kept any more.")
    return acts


def entity_of(run: Guid) -> type[Entity]:
    """What the run was about, as its receipt says; pieces if there is none."""
    plural = SyncRun.objects.filter(guid=run).values_list("entity", flat=True).first()
    return LEVELS_BY_PLURAL.get(plural or "", LEVELS[-1])


def _in_conflict(rows: Rows, acts: Collection[Guid], why: str) -> Conflict:
    """The 409 that names the first 100 of these rows, each with the run that wrote it last; with none if that was one
    of the acts, as somebody has written the row by hand since."""
    run = Act.objects.exclude(guid__any_of=acts).filter(guid=OuterRef("changed_in")).values("run_guid")
    conflicts: list[State] = []
    for level, of_level in rows.items():
        named = of_level.order_by("guid").values("guid", run_guid=Subquery(run))[: MAX_LISTED - len(conflicts)]
        conflicts += [{"entity": level.plural, **row} for row in named]
    return Conflict(f"{why}. Nothing was undone.", conflicts=conflicts)


def _mentioned(faults: Sequence[Fault], acts: Collection[Guid]) -> Rows:
    """The rows that these faults are about, but for those that the acts wrote last themselves: of all that a fault
    mentions, those of the lowest level."""
    named: dict[type[Entity], list[Guid]] = {level: [] for level in LEVELS}
    for fault in faults:
        for level in reversed(LEVELS):
            if found := [guid for guid, kind in fault.mentions.items() if kind == level.kind]:
                named[level] += found
                break
    rows = {level: level.all_objects.filter(guid__any_of=guids) for level, guids in named.items()}
    return {level: of_level.exclude(changed_in__any_of=acts) for level, of_level in rows.items()}


@dataclass(slots=True)
class _Attempt:
    """One try to take these acts back, without the roots `left_out`."""

    acts: Sequence[Guid]
    run: Guid
    origin: Origin
    skip: bool
    dry_run: bool
    left_out: set[bytes] = field(default_factory=set)
    places: list[bytes] = field(default_factory=list)  # the guids of the rows that are being put back
    roots: dict[type[Entity], list[State]] = field(default_factory=dict)  # of the rows only what is needed

    def carry_out(self) -> Undone:
        with transaction.atomic() if self.dry_run else nullcontext():
            self._lock_roots()
            self._read_before()
            others = self._written_since()
            count = sum(rows.count() for rows in others.values())
            if count and not self.skip:
                have = "row has" if count == 1 else "rows have"
                raise _in_conflict(others, self.acts, f"{count} {have} been written since")
            is_empty = not count and not any(self.roots.values())
            past = Q(replaced_in__any_of=self.acts) | Q(changed_in__any_of=self.acts)
            if is_empty and self.acts and not any(each.objects.filter(past).exists() for each in HISTORIES.values()):
                raise Gone(f"The history of the run {self.run} is not kept any more.")
            self._check_purges()
            blocked, skipped = self._in_the_way(others) if count else (set[bytes](), 0)
            acts, done = Acts(self.origin), Counter[str]()
            for level, rows in self.roots.items():
                free = [row for row in rows if row["guid"].bytes not in blocked | self.left_out]
                skipped += len(rows) - len(free)
                done.update(self._put_back(level, free, acts))
            if self.dry_run:
                transaction.set_rollback(True)
        acts.below.update({name: done[name] for name in ("updated", "restored")})  # the deleted roots are in it
        levels, received = [level for level, rows in self.roots.items() if rows], sum(map(len, self.roots.values()))
        model = levels[0] if levels else entity_of(self.run)
        acts.save_receipt(model, received=received, http_status=200, dry_run=self.dry_run)
        return Undone(acts.below["updated"], acts.below["deleted"], acts.below["restored"], skipped)

    def _lock_roots(self) -> None:
        """Finds what the acts wrote and nobody since, and locks all of it, from the top level down; the roots are those
        that did not just follow a row above them."""
        allow_cascade()
        for level in LEVELS:
            written = level.all_objects.filter(guid__in=self._as_left(level))
            written.locked()
            for kind in level.parents:  # what follows a row that is no root is below that row's root
                if above := [row["guid"] for row in self.roots[LEVELS_BY_KIND[kind]]]:
                    written = written.exclude(**{f"{kind.column}__any_of": above})
            needed = [field.attname for field in level.settable_fields() if not field.null and not field.has_default()]
            names = ["guid", "created_in", "deletion_guid", *needed, *["picture_digest"] * issubclass(level, Pictured)]
            self.roots[level] = dicts(written.order_by("guid"), names)
        if other := Act.objects.filter(undoes=self.run).first():
            raise Conflict(f"The run {self.run} has been undone already, by the run {other.run_guid}.")

    def _read_before(self) -> None:
        """Adds to each root the state `before` the acts, None if it is not kept; what they made was not there."""
        for level, rows in self.roots.items():
            names = [field.attname for field in level.settable_fields()]
            if issubclass(level, Pictured):
                names[names.index("picture")] = "picture_digest"
            guids = [row["guid"] for row in rows]
            past = HISTORIES[level].objects.filter(replaced_in__any_of=self.acts, guid__any_of=guids)
            states = {state["guid"].bytes: state for state in dicts(past.order_by("-id"), names)} if rows else {}
            for row in rows:
                gone = {name: row[name] for name in names if name in row} | GONE
                row["before"] = states.get(row["guid"].bytes, gone if row["created_in"] in self.acts else None)

    def _as_left(self, level: type[Entity], *, by_hand: bool = False) -> RawSQL:
        """The guids of the rows that are as the acts left them; with `by_hand`, of those that somebody wrote after that
        without an act of his own."""
        table, history = level._meta.db_table, HISTORIES[level]._meta.db_table
        acts: Any = list(self.acts)
        among = "= ANY(%s)"
        if connection.vendor == "sqlite":
            acts, among = json.dumps([act.hex for act in acts]), "IN (SELECT value FROM json_each(%s))"
        wanted = BY_HAND.format(history=history) if by_hand else table
        sql = AS_LEFT.format(table=table, history=history, among=among, wanted=wanted)
        return RawSQL(sql, [acts, acts])  # noqa: S611  # our own names; the acts are parameters

    def _written_since(self) -> Rows:
        """The rows that others have written since: of those that the acts wrote, and below what is to go."""
        others: Rows = {}
        for level in LEVELS:
            rows = level.all_objects
            by_others = rows.exclude(guid__in=self._as_left(level))
            replaced = HISTORIES[level].objects.filter(changed_in__any_of=self.acts)
            guids = by_others.filter(guid__in=replaced.values("guid")).values("guid")
            guids = guids.union(rows.filter(guid__in=self._as_left(level, by_hand=True)).values("guid"))
            for kind in level.parents:
                roots = self.roots[LEVELS_BY_KIND[kind]]
                going = [root["guid"] for root in roots if not (root["before"] or GONE)["is_active"]]
                if going:
                    guids = guids.union(by_others.filter(is_active=True).in_any_of(kind, going).values("guid"))
            others[level] = rows.filter(guid__in=guids)
        return others

    def _in_the_way(self, others: Rows) -> tuple[set[bytes], int]:
        """The roots that are, or hold, what others have written; and how many of the others' rows no root holds."""
        blocked, beyond = set[bytes](), 0
        keys = {level.kind: {row["guid"].bytes for row in rows} for level, rows in self.roots.items()}
        for level, rows in others.items():
            kinds = (level.kind, *level.parents)
            for guids in rows.values_list("guid", *level.parent_columns()).iterator():
                of_row = [(kind, guid.bytes) for kind, guid in zip(kinds, guids, strict=True) if guid]
                holders = {key for kind, key in of_row if key in keys[kind]}
                blocked |= holders
                beyond += not holders
        return blocked, beyond

    def _check_purges(self) -> None:
        """Raises Gone if a purge is at what a deletion took: it would not come back as a whole. A purge waits now."""
        deletions = [row["deletion_guid"] for rows in self.roots.values() for row in rows if row["deletion_guid"]]
        locked = Deletion.objects.filter(guid__any_of=deletions).order_by("guid").select_for_update(no_key=True)
        if deletions and any(locked.values_list("purged_at", flat=True)):
            raise Gone(f"Rows of the run {self.run} are being purged: not all of them could be put back.")

    def _put_back(self, level: type[Entity], rows: Sequence[State], acts: Acts) -> Iterable[Action]:
        """Makes of these rows what they were before; what became of each."""
        self.places = [row["guid"].bytes for row in rows]
        items: dict[int, Item] = {}
        pictured: list[Guid] = []
        for place, row in enumerate(rows):
            item = items[place] = row["before"]
            if item is None:
                raise Gone(f"What the {level.kind} {row['guid']} was before the run {self.run} is not kept any more.")
            if item.get("picture_digest") not in (None, row.get("picture_digest")):
                pictured.append(row["guid"])
        done = write_items(level, items, acts, Options(undoing=True))
        if pictured:
            if picture_again(level, pictured, self.acts) < len(pictured):
                raise Gone(f"Not all the pictures that the run {self.run} replaced are kept.")
            acts.forget_between(level)
        return [outcome.action for outcome in done]
