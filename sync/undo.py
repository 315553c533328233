"""Taking a run back (contract, "Undo"): what it wrote becomes what it was before, by the plan, the locks and the rules
of a sync, in one transaction.

The rows that a run itself was about are put back; what it took along below them (deleted, restored, moved) follows by
the same rules by which it went.
"""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from rest_framework.exceptions import NotFound

from pieces.acts import Origin
from pieces.changes import Acts
from pieces.history import dicts, picture_of
from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, Act, Entity, Pictured
from pieces.receipts import Receipt, SyncRun, counts_of
from ractory.api.errors import MAX_LISTED, Conflict, ConflictRetry, Gone, Unprocessable
from ractory.api.retry import in_transaction
from sync.schemas import Item
from sync.submission import MAX_TRIES, Options, Outcome, write_items
from tenants.scope import current_scope

Guid = uuid.UUID


State = Mapping[str, Any]  # a row's columns by name
GONE = {"is_active": False}  # what a row becomes that there was not before


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
    for _ in range(MAX_TRIES):
        try:
            return in_transaction(attempt.carry_out)
        except Unprocessable as refusal:  # by the rules of a sync: a parent that is deleted, a piece_id that is taken
            if not skip:
                named = [
                    (LEVELS_BY_KIND[kind], guid) for fault in refusal.found for guid, kind in fault.mentions.items()
                ]
                others = [row for model, guid in named for row in _rows(model.all_objects.filter(guid=guid))]
                raise _in_conflict(others, refusal.found[0].msg) from refusal
            attempt.left_out |= {attempt.places[cast(int, fault.loc[2])] for fault in refusal.found}
    raise ConflictRetry


def acts_of_run(run: Guid) -> list[Guid]:
    """The acts of a run; of an act that has no receipt, itself."""
    return list(Act.objects.filter(Q(run_guid=run) | Q(guid=run)).values_list("guid", flat=True))


def entity_of(run: Guid) -> type[Entity] | None:
    """What the run was about, if its receipt is there still."""
    plural = SyncRun.objects.filter(guid=run).values_list("entity", flat=True).first()
    return next((level for level in LEVELS if level.plural == plural), None)


def check_receipt(run: Guid) -> None:
    """Of a run without acts: raises 404 if there is none, 410 if it wrote once and that is not kept any more."""
    receipt = SyncRun.objects.filter(guid=run).first()
    if receipt is None:
        raise NotFound(f"There is no run {run}.")
    if not receipt.dry_run and receipt.inserted + receipt.updated > receipt.unchanged:
        raise Gone(f"The history of the run {run} is not kept any more.")


def _rows(rows: Any) -> list[dict[str, Any]]:
    """What is told of rows that are in the way, and where they are."""
    found: list[dict[str, Any]] = list(rows.values("guid", "changed_in", *rows.model.parent_columns()))
    return [row | {"model": rows.model} for row in found]


def _in_conflict(rows: Sequence[State], why: str) -> Conflict:
    runs = Act.objects.in_bulk({row["changed_in"] for row in rows[:MAX_LISTED]} - {None})
    conflicts = [
        {
            "entity": row["model"].plural,
            "guid": row["guid"],
            "run_guid": runs[row["changed_in"]].run_guid if row["changed_in"] in runs else None,
        }
        for row in rows[:MAX_LISTED]
    ]
    return Conflict(f"{why} Nothing was undone.", conflicts=conflicts)


@dataclass(slots=True)
class _Attempt:
    """One try to take these acts back, without the rows `left_out`."""

    acts: Sequence[Guid]
    run: Guid
    origin: Origin
    beside: Sequence[Guid]
    skip: bool
    dry_run: bool
    left_out: set[Guid] = field(default_factory=set)
    places: list[Guid] = field(default_factory=list)  # of the items at hand

    def carry_out(self) -> Undone:
        with transaction.atomic() if self.dry_run else nullcontext():
            roots = self._locked_roots()
            others = self._written_since(roots)
            if others and not self.skip:
                raise _in_conflict(others, f"{len(others)} rows have been written since.")
            blocked = self.left_out | {
                value.bytes for row in others for value in row.values() if isinstance(value, Guid)
            }
            acts, found = Acts(self.origin), Counter[str]()
            for level, rows in roots.items():
                free = [row for row in rows if row["guid"].bytes not in blocked]
                found["skipped"] += len(rows) - len(free)
                found.update(outcome.action.value for outcome in self._put_back(level, free, acts))
            found.update(acts.below)  # every deletion is among these
            if self.dry_run:
                transaction.set_rollback(True)
        held = {row["guid"].bytes for rows in roots.values() for row in rows}
        found["skipped"] += sum(held.isdisjoint(v.bytes for v in row.values() if isinstance(v, Guid)) for row in others)
        self._save_receipt(roots, found)
        run = cast(Guid, self.origin.run)
        return Undone(run, found["updated"], acts.below["deleted"], found["restored"], found["skipped"])

    def _locked_roots(self) -> dict[type[Entity], list[State]]:
        """What the acts wrote and nobody since, all of it locked, from the top level down; of each level the rows that
        did not just follow one above them."""
        roots = {}
        for level in LEVELS:
            of_acts = Q(changed_in__in=self.acts)
            if self.beside:
                of_acts |= Q(changed_in__in=self.beside, guid__in=self._past(level).values("guid"))
            written = level.all_objects.filter(of_acts)
            written.locked()
            for kind in level.parents:
                above = LEVELS_BY_KIND[kind].all_objects.filter(changed_in__in=self.acts, guid=OuterRef(kind.column))
                written = written.exclude(Exists(above))
            lean = ("guid", "company_guid", "created_in", *(["picture_digest"] if issubclass(level, Pictured) else []))
            roots[level] = list(written.order_by("guid").values(*lean))
        if other := Act.objects.filter(undoes=self.run).first():
            raise Conflict(f"The run {self.run} has been undone already, by the run {other.run_guid}.")
        return roots

    def _written_since(self, roots: Mapping[type[Entity], Sequence[State]]) -> list[State]:
        """The rows that others have written since: those that the acts wrote, and those below what is to go."""
        others: list[State] = []
        for level in LEVELS:
            rows = level.all_objects.exclude(changed_in__in=[*self.acts, *self.beside])
            others += _rows(rows.filter(guid__in=self._past(level).values("guid")))
        for level, of_level in roots.items():
            if not (of_level and level.below()):
                continue
            before = self._before(level, [row["guid"] for row in of_level], "guid", "is_active")
            going = [row["guid"] for row in of_level if not before.get(row["guid"], {}).get("is_active")]
            for below in level.below() if going else ():
                rows = below.objects.in_any_of(level.kind, going).exclude(changed_in__in=[*self.acts, *self.beside])
                others += [row for row in _rows(rows) if row not in others]
        return others

    def _past(self, level: type[Entity]) -> Any:
        """The states that the acts replaced, and those that they made and others replaced since."""
        return HISTORIES[level].objects.filter(Q(replaced_in__in=self.acts) | Q(changed_in__in=self.acts))

    def _before(self, level: type[Entity], guids: Sequence[Guid], *names: str) -> dict[Guid, State]:
        """The states that the acts replaced."""
        states = HISTORIES[level].objects.filter(replaced_in__in=self.acts, guid__any_of=guids).order_by("-id")
        return {state["guid"]: state for state in dicts(states, names)}

    def _put_back(self, level: type[Entity], rows: Sequence[State], acts: Acts) -> list[Outcome]:
        names = [name for field in level.settable_fields() if (name := field.attname) != "picture"]
        more = ["id", "replaced_at", "picture", "picture_digest"] if issubclass(level, Pictured) else []
        before = self._before(level, [row["guid"] for row in rows], *names, *more)
        made = [row["guid"] for row in rows if row["guid"] not in before and row["created_in"] in self.acts]
        before |= {row["guid"]: row | GONE for row in dicts(level.all_objects.filter(guid__any_of=made), names)}
        items: dict[int, Item] = {}
        for row in rows:
            state = before.get(row["guid"])
            if state is None:
                raise Gone(f"What the {level.kind} {row['guid']} was before the run {self.run} is not kept any more.")
            item = items[len(items)] = {name: state[name] for name in names}
            if state.get("picture_digest") != row.get("picture_digest") and "id" in state:
                item["picture"] = state["picture"] or picture_of(level, state)
        self.places = [item["guid"] for item in items.values()]
        return write_items(level, items, acts, Options())

    def _save_receipt(self, roots: Mapping[type[Entity], Sequence[State]], found: Mapping[str, int]) -> None:
        levels = [level for level, rows in roots.items() if rows]
        companies = {row["company_guid"] for rows in roots.values() for row in rows} or {current_scope().company}
        Receipt(
            model=levels[0] if levels else LEVELS[-1],
            origin=self.origin,
            company=companies.pop() if len(companies) == 1 else None,
            received=sum(map(len, roots.values())),
            counts=counts_of(found),
            dry_run=self.dry_run,
        ).save()
