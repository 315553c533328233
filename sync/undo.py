"""Taking a run back (contract, "Undo"): what it wrote becomes what it was before, by the plan, the locks and the rules
of a sync, in one transaction.

The rows that a run itself was about (its roots) are put back; what it took along below them (deleted, restored, moved)
follows by the same rules by which it went, and is not read.
"""

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Length
from rest_framework.exceptions import NotFound

from pieces.acts import Origin
from pieces.changes import Acts
from pieces.history import dicts
from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, LEVELS_BY_PLURAL, Act, Deletion, Entity, Pictured
from pieces.receipts import Receipt, SyncRun, counts_of
from ractory.api.errors import MAX_LISTED, Conflict, Fault, Gone, Unprocessable
from ractory.api.paging import fitting
from ractory.api.retry import in_transaction
from ractory.api.timeouts import allow_cascade
from sync.planning import Action
from sync.schemas import Item
from sync.submission import MAX_TRIES, Options, write_items
from tenants.scope import current_scope

Guid = uuid.UUID
State = Mapping[str, Any]  # a row's columns by name
GONE = {"is_active": False}  # what a row becomes that there was not before
MAX_PICTURES = 16 * 1024 * 1024  # bytes: of more, only so many are in memory at a time

# Rows with an act that left them as the acts of a run did: these themselves, and the undo of what came after them. So
# whoever has taken back what was done last can take back what was done before.
AS_LEFT = """
    WITH RECURSIVE as_left(guid, act) AS (
        SELECT guid, changed_in FROM {table} WHERE changed_in {among}
        UNION SELECT guid, changed_in FROM {history} WHERE changed_in {among}
        UNION SELECT as_left.guid, undo.guid FROM as_left {undone}
    )
    SELECT found.guid FROM as_left
    JOIN {wanted} AS found ON found.guid = as_left.guid AND found.changed_in = as_left.act
"""
UNDONE = (
    "{history} AS state JOIN pieces_act AS later ON later.guid = state.replaced_in "
    "JOIN pieces_act AS undo ON undo.undoes = later.run_guid AND undo.company_guid = later.company_guid "
    "WHERE state.changed_in = as_left.act AND state.guid = as_left.guid"
)
# Lateral, or PostgreSQL, which does not know how few rows there are, might read the whole history.
UNDONE_POSTGRESQL = f"CROSS JOIN LATERAL (SELECT undo.guid FROM {UNDONE} OFFSET 0) AS undo"  # noqa: S608  # our own names
UNDONE_SQLITE = f"CROSS JOIN {UNDONE}"
BY_HAND = "(SELECT guid, changed_in FROM {history} WHERE changed_in = replaced_in)"


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did, in rows; `skipped` are those that the run was about and that were left as they are."""

    run: Guid
    changed: int
    deleted: int
    restored: int
    skipped: int


def undo(
    run: Guid, *, origin: Origin, dry_run: bool = False, skip: bool = False, beside: Sequence[Guid] = ()
) -> Undone:
    """Takes the run (or the act) of this guid back, within the scope and in a transaction of its own, with a receipt.

    `skip` leaves what is in conflict as it is; what the acts `beside` wrote is in none. Raises 404; Conflict with the
    conflicts, or if it has been undone already; Gone if its history is not kept any more. Then nothing is written.
    """
    acts = acts_of_run(run)
    if not acts:
        check_receipt(run)
    attempt = _Attempt(acts, run, replace(origin, undoes=run), beside, skip=skip, dry_run=dry_run)
    first: Sequence[Fault] = ()
    for _ in range(MAX_TRIES if skip else 1):
        try:
            return in_transaction(attempt.carry_out)
        except Unprocessable as refusal:  # by the rules of a sync: a parent that is deleted, a piece_id that is taken
            first = first or refusal.found
            attempt.left_out |= {attempt.places[cast(int, fault.loc[2])].bytes for fault in refusal.found}
    raise _in_conflict(_mentioned(first, acts), first[0].msg)


def acts_of_run(run: Guid) -> list[Guid]:
    """The acts of a run; of an act that has no receipt, itself."""
    return list(Act.objects.filter(Q(run_guid=run) | Q(guid=run)).values_list("guid", flat=True))


def entity_of(run: Guid) -> type[Entity] | None:
    """What the run was about: its receipt says so, or else the rows that it wrote. None if there is no such run."""
    plural = SyncRun.objects.filter(guid=run).values_list("entity", flat=True).first()
    if plural or not (acts := acts_of_run(run)):
        return LEVELS_BY_PLURAL.get(plural or "")
    sets = ((level, rows) for level in LEVELS for rows in (level.all_objects, HISTORIES[level].objects))
    return next((level for level, rows in sets if rows.filter(changed_in__any_of=acts).exists()), LEVELS[-1])


def check_receipt(run: Guid) -> None:
    """Of a run without acts: raises 404 if there is none, 410 if it wrote once and that is not kept any more."""
    receipt = SyncRun.objects.filter(guid=run).first()
    if receipt is None:
        raise NotFound(f"There is no run {run}.")
    if not receipt.dry_run and receipt.inserted + receipt.updated > receipt.unchanged:
        raise Gone(f"The history of the run {run} is not kept any more.")


def _in_conflict(rows: Sequence[State], why: str) -> Conflict:
    """The 409 that names these rows of `_first`."""
    runs = dict(
        Act.objects.filter(guid__any_of=[row["act"] for row in rows if row["act"]]).values_list("guid", "run_guid")
    )
    conflicts = [{"entity": row["level"].plural, "guid": row["guid"], "run_guid": runs.get(row["act"])} for row in rows]
    return Conflict(f"{why}. Nothing was undone.", conflicts=conflicts)


def _mentioned(faults: Sequence[Fault], acts: Collection[Guid]) -> list[State]:
    """The first of the rows that these faults are about, but for those that the acts wrote last themselves: of all that
    a fault mentions, those of the lowest level."""
    named: dict[type[Entity], set[bytes]] = {level: set() for level in reversed(LEVELS)}
    for fault in faults:
        for level, guids in named.items():
            if found := {guid.bytes for guid, kind in fault.mentions.items() if kind == level.kind}:
                guids |= found
                break
    rows = {
        level: level.all_objects.filter(guid__any_of=[Guid(bytes=guid) for guid in named[level]]) for level in LEVELS
    }
    return _first({level: of_level.exclude(changed_in__any_of=acts) for level, of_level in rows.items()}, acts)


def _first(rows: Mapping[type[Entity], Any], acts: Collection[Guid]) -> list[State]:
    """The first 100 of these rows, with the act that wrote each last; without, if one was written by hand since."""
    found: list[State] = []
    for level, of_level in rows.items():
        some = of_level.order_by("guid").values_list("guid", "changed_in")[: MAX_LISTED - len(found)]
        found += [{"level": level, "guid": guid, "act": None if act in acts else act} for guid, act in some]
    return found


def _columns(level: type[Entity]) -> list[str]:
    """What is put back of a row, but for its picture."""
    return [name for field in level.settable_fields() if (name := field.attname) != "picture"]


@dataclass(slots=True)
class _Attempt:
    """One try to take these acts back, without the roots `left_out`."""

    acts: Sequence[Guid]
    run: Guid
    origin: Origin
    beside: Sequence[Guid]
    skip: bool
    dry_run: bool
    left_out: set[bytes] = field(default_factory=set)
    places: list[Guid] = field(default_factory=list)  # of the items at hand

    def carry_out(self) -> Undone:
        with transaction.atomic() if self.dry_run else nullcontext():
            roots = self._locked_roots()
            before = {level: self._before(level, rows) if rows else {} for level, rows in roots.items()}
            going = {
                level: [row["guid"] for row in rows if not before[level].get(row["guid"].bytes, GONE)["is_active"]]
                for level, rows in roots.items()
            }
            others = self._written_since(going)
            count = sum(rows.count() for rows in others.values())
            if count and not self.skip:
                have = "row has" if count == 1 else "rows have"
                raise _in_conflict(_first(others, self.acts), f"{count} {have} been written since")
            if not count and not any(roots.values()) and self.acts and not self._is_kept():
                raise Gone(f"The history of the run {self.run} is not kept any more.")
            self._check_purges(roots)
            blocked = self.left_out | (self._blocked(roots, others) if count else set())
            skipped = self._beyond(roots, others) if count else 0
            acts, found = Acts(self.origin), Counter[str]()
            for level, rows in roots.items():
                free = [row for row in rows if row["guid"].bytes not in blocked]
                skipped += len(rows) - len(free)
                found.update(self._put_back(level, free, before[level], acts).values())
            if self.dry_run:
                transaction.set_rollback(True)
        found = Counter({name: found[name] + acts.below[name] for name in ("updated", "restored")})
        found["deleted"] = acts.below["deleted"]  # the roots are among these
        self._save_receipt(roots, found)
        run = cast(Guid, self.origin.run)
        return Undone(run, found["updated"], found["deleted"], found["restored"], skipped)

    def _locked_roots(self) -> dict[type[Entity], list[State]]:
        """What the acts wrote and nobody since, all of it locked, from the top level down; of each level the rows that
        did not just follow one above them."""
        allow_cascade()
        roots: dict[type[Entity], list[State]] = {}
        for level in LEVELS:
            of_run = Q(guid__in=self._as_left(level))
            if self.beside:
                of_run |= Q(changed_in__any_of=self.beside, guid__in=self._past(level).values("guid"))
            written = level.all_objects.filter(of_run)
            written.locked()
            for kind in level.parents:
                above = self._as_left(LEVELS_BY_KIND[kind])
                written = written.exclude(Q(**{f"{kind.column}__isnull": False}), **{f"{kind.column}__in": above})
            lean = ["guid", "company_guid", "created_in", "deletion_guid"]
            roots[level] = [*dicts(written.order_by("guid"), lean + ["picture_digest"] * issubclass(level, Pictured))]
        if other := Act.objects.filter(undoes=self.run).first():
            raise Conflict(f"The run {self.run} has been undone already, by the run {other.run_guid}.")
        return roots

    def _past(self, level: type[Entity]) -> Any:
        """The states that the acts replaced, and those that they made and somebody replaced since."""
        return HISTORIES[level].objects.filter(Q(replaced_in__any_of=self.acts) | Q(changed_in__any_of=self.acts))

    def _is_kept(self) -> bool:
        return any(self._past(level).exists() for level in LEVELS)

    def _check_purges(self, roots: Mapping[type[Entity], Sequence[State]]) -> None:
        """Raises Gone if a purge is at what a deletion took: it would not come back as a whole. A purge waits now."""
        deletions = [row["deletion_guid"] for rows in roots.values() for row in rows if row["deletion_guid"]]
        locked = Deletion.objects.filter(guid__any_of=deletions).order_by("guid").select_for_update(no_key=True)
        if deletions and any(locked.values_list("purged_at", flat=True)):
            raise Gone(f"Rows of the run {self.run} are being purged: not all of them could be put back.")

    def _before(self, level: type[Entity], rows: Sequence[State]) -> dict[bytes, State]:
        """The states of these rows that the acts replaced, by guid."""
        guids = [row["guid"] for row in rows]
        past = HISTORIES[level].objects.filter(replaced_in__any_of=self.acts, guid__any_of=guids)
        names = [*_columns(level), *["picture_digest"] * issubclass(level, Pictured)]
        return {state["guid"].bytes: state for state in dicts(past.order_by("-id"), names)}

    def _written_since(self, going: Mapping[type[Entity], Sequence[Guid]]) -> dict[type[Entity], Any]:
        """The rows that others have written since: of those that the acts wrote, and below what is to go."""
        others = {}
        for level in LEVELS:
            rows = level.all_objects
            by_others = rows.exclude(guid__in=self._as_left(level))
            if self.beside:
                rewritten = HISTORIES[level].objects.filter(guid=OuterRef("guid"), changed_in=OuterRef("changed_in"))
                by_hand = Exists(rewritten.filter(replaced_in=F("changed_in")))
                by_others = by_others.exclude(~by_hand, changed_in__any_of=self.beside)
            replaced = HISTORIES[level].objects.filter(changed_in__any_of=self.acts)
            by_hand = rows.filter(guid__in=self._as_left(level, by_hand=True))
            guids = by_others.filter(guid__in=replaced.values("guid")).values("guid").union(by_hand.values("guid"))
            for above in LEVELS[: LEVELS.index(level)]:
                if going[above] and above.kind in level.parents:
                    below = by_others.filter(is_active=True).in_any_of(above.kind, going[above])
                    guids = guids.union(below.values("guid"))
            others[level] = rows.filter(guid__in=guids)
        return others

    def _as_left(self, level: type[Entity], *, by_hand: bool = False) -> RawSQL:
        """The guids of the rows that are as the acts left them; with `by_hand`, of those that somebody wrote after that
        without an act of his own."""
        is_sqlite, history = connection.vendor == "sqlite", HISTORIES[level]._meta.db_table
        sql = AS_LEFT.format(
            table=level._meta.db_table,
            history=history,
            among="IN (SELECT value FROM json_each(%s))" if is_sqlite else "= ANY(%s)",
            undone=(UNDONE_SQLITE if is_sqlite else UNDONE_POSTGRESQL).format(history=history),
            wanted=BY_HAND.format(history=history) if by_hand else level._meta.db_table,
        )
        acts: Any = json.dumps([act.hex for act in self.acts]) if is_sqlite else list(self.acts)
        return RawSQL(sql, [acts, acts])  # noqa: S611  # our own names; the acts are parameters

    def _blocked(self, roots: Mapping[type[Entity], Sequence[State]], others: Mapping[type[Entity], Any]) -> set[bytes]:
        """The roots that are in the way themselves, and those above what is."""
        found: set[bytes] = set()
        for level, rows in roots.items():
            for lower in (level, *level.below()) if rows else ():
                column = "guid" if lower is level else level.kind.column
                there = others[lower].in_any_of(level.kind, [row["guid"] for row in rows])
                found.update(guid.bytes for guid in there.values_list(column, flat=True).distinct())
        return found

    def _beyond(self, roots: Mapping[type[Entity], Sequence[State]], others: Mapping[type[Entity], Any]) -> int:
        """How many rows are in the way elsewhere than at the roots and below them."""
        found = 0
        for lower, rows in others.items():
            for level, of_level in roots.items():
                if of_level and (lower is level or lower in level.below()):
                    held = lower.all_objects.in_any_of(level.kind, [row["guid"] for row in of_level])
                    rows = rows.exclude(guid__in=held.values("guid"))
            found += rows.count()
        return found

    def _put_back(
        self, level: type[Entity], rows: Sequence[State], before: dict[bytes, State], acts: Acts
    ) -> dict[bytes, Action]:
        """Makes of these rows what they were `before`; what became of each."""
        names = _columns(level)
        made = [row["guid"] for row in rows if row["guid"].bytes not in before and row["created_in"] in self.acts]
        before |= {row["guid"].bytes: row | GONE for row in dicts(level.all_objects.filter(guid__any_of=made), names)}
        items: list[Item] = []
        pictured: list[Guid] = []
        for row in rows:
            state, digest = before.get(row["guid"].bytes), row.get("picture_digest")
            if state is None:
                raise Gone(f"What the {level.kind} {row['guid']} was before the run {self.run} is not kept any more.")
            items.append({name: state[name] for name in names})
            if state.get("picture_digest", digest) is None and digest is not None:
                items[-1]["picture"] = None
            elif state.get("picture_digest", digest) != digest:
                pictured.append(row["guid"])
        self.places = [item["guid"] for item in items]
        done: dict[bytes, Action] = {}
        for number, pictures in enumerate(self._pictures(level, pictured) if items else ()):
            some: dict[int, Item] = {}
            for place, item in enumerate(items):
                picture = pictures.get(item["guid"].bytes)
                if number == 0 or picture:
                    some[place] = item | ({"picture": picture} if picture else {})
            for outcome in write_items(level, some, acts, Options(undoing=True)):
                key = cast(Guid, outcome.guid).bytes
                if done.get(key, Action.UNCHANGED) is Action.UNCHANGED:
                    done[key] = outcome.action
            if number:
                acts.forget_between(level)
        return done

    def _pictures(self, level: type[Entity], guids: Sequence[Guid]) -> Iterator[dict[bytes, bytes]]:
        """The pictures that the acts replaced in these rows, by guid, so many at a time; at least once, be it none."""
        past = HISTORIES[level].objects.filter(replaced_in__any_of=self.acts, guid__any_of=guids)
        if not guids:
            yield {}
            return
        kept = past.filter(picture__isnull=False)
        sizes = list(kept.values_list("guid", Length("picture")))
        if len(sizes) < len(guids):
            raise Gone(f"Not all the pictures that the run {self.run} replaced are kept.")
        while sizes:
            fits = fitting((size for _, size in sizes), most=MAX_PICTURES)
            some = kept.filter(guid__any_of=[guid for guid, _ in sizes[:fits]])
            yield {guid.bytes: bytes(picture) for guid, picture in some.values_list("guid", "picture")}
            sizes = sizes[fits:]

    def _save_receipt(self, roots: Mapping[type[Entity], Sequence[State]], found: Mapping[str, int]) -> None:
        levels = [level for level, rows in roots.items() if rows]
        companies = {row["company_guid"] for rows in roots.values() for row in rows} or {current_scope().company}
        Receipt(
            model=levels[0] if levels else entity_of(self.run) or LEVELS[-1],
            origin=self.origin,
            company=companies.pop() if len(companies) == 1 else None,
            received=sum(map(len, roots.values())),
            counts=counts_of(found),
            dry_run=self.dry_run,
        ).save()
