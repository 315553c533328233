"""Complete sets: a source sends all that there is, in batches; what it did not send goes (contract, "Complete sets").

Each batch notes the guids that it named, in its own transaction. Completing takes the rows that were there when the
snapshot was opened and that no batch named; what others added since, or brought back, or moved into the set, stays.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import NotFound

from pieces.acts import Origin
from pieces.bulk import database_clock
from pieces.changes import Acts, delete_together
from pieces.expressions import CommittedIn, committed_now
from pieces.models import HISTORIES, LEVELS, LEVELS_BY_KIND, Act, Entity
from pieces.querysets import fetched
from pieces.receipts import Receipt, counts_of
from ractory.api.errors import Conflict, Fault, Gone, Unprocessable
from ractory.api.retry import in_transaction
from sync.models import SeenBatch, Snapshot
from sync.submission import Claim, Run

Guid = uuid.UUID
LIFE = timedelta(hours=24)
DEFAULT_MAX, AT_LEAST = "10%", 10  # of the rows, and rows
GUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of a snapshot."""

    run: Guid
    seen: int
    deleted: int


def model_of(snapshot: Snapshot) -> type[Entity]:
    return next(level for level in LEVELS if level.plural == snapshot.entity)


def relations_of(snapshot: Snapshot) -> dict[str, Guid]:
    """What all rows of the set have in common: the relations, by column."""
    columns = ("project_guid", "component_guid", "assembly_guid")
    narrower = {column: guid for column in columns if (guid := getattr(snapshot, column))}
    return {"company_guid": snapshot.company_guid, **narrower}


def open_snapshot(
    model: type[Entity], within: Mapping[str, Guid], *, company: Guid | None, max_deleted: str, actor: str
) -> Snapshot:
    """A new one, of the company, or of the one parent that `within` names by its column.

    Raises 422 for a parent that is not visible, active and above this entity, or if no company is known.
    """
    faults = []
    for column, guid in within.items():
        level = next((LEVELS_BY_KIND[kind] for kind in model.parents if kind.column == column), None)
        if level is None or len(within) > 1:
            faults.append(Fault(("body", column), f"A snapshot of {model.plural} can't be of it too", "scope_unfit"))
        elif (parent := level.objects.filter(guid=guid).first()) is None:
            faults.append(Fault(("body", column), f"There is no active {level.kind} {guid}", "parent_not_found"))
        else:
            company = company or parent.company_guid
            if company != parent.company_guid:
                msg = f"There is no {level.kind} {guid} in company {company}"
                faults.append(Fault(("body", column), msg, "parent_not_found"))
    if not faults and company is None:
        faults.append(Fault(("body", "company_guid"), "Field required", "missing"))
    if faults:
        raise Unprocessable(faults)
    about = {"company_guid": company, "entity": model.plural, "max_deleted": max_deleted, "actor": actor, **within}
    with transaction.atomic():
        moment = committed_now()
        snapshot: Snapshot = Snapshot.objects.create(**about, opened_at=database_clock(), seen_by_database=moment)
    return snapshot


def open_one(guid: Guid, *, lock: str = "") -> Snapshot:
    """One that may be pushed to and completed, or is complete; locked. Raises 404, or 410 if its time is over."""
    rows = Snapshot.objects.filter(guid=guid)
    if lock:
        fetched(rows.values_list("guid"), lock=lock)
    snapshot: Snapshot | None = rows.first()
    if snapshot is None:
        raise NotFound(f"There is no snapshot {guid}.")
    if snapshot.run_guid is None and snapshot.opened_at + LIFE < timezone.now():
        raise Gone(f"The snapshot {guid} was not completed within {LIFE.total_seconds() / 3600:.0f} hours.")
    return snapshot


def give_up(guid: Guid) -> None:
    """Forgets it; raises as `open_one`, and 409 if it is complete."""

    def work() -> None:
        if open_one(guid, lock="FOR UPDATE").run_guid:
            raise Conflict(f"The snapshot {guid} is complete already.")
        Snapshot.objects.filter(guid=guid).delete()

    in_transaction(work)


@dataclass(frozen=True, slots=True)
class SeenClaim(Claim):
    """What a batch of a snapshot does beside: it notes what it named. Others may do so at the same time."""

    snapshot: Guid
    beside: Claim

    def take(self) -> None:
        """Raises 409 if it is complete, and what `open_one` raises."""
        self.beside.take()
        if open_one(self.snapshot, lock="FOR SHARE").run_guid:
            raise Conflict(f"The snapshot {self.snapshot} is complete already.")

    def keep(self, run: Run) -> None:
        guids = b"".join([outcome.guid.bytes for outcome in run.outcomes if outcome.guid])
        company = Snapshot.objects.values_list("company_guid", flat=True).get(guid=self.snapshot)
        SeenBatch.objects.create(snapshot_id=self.snapshot, company_guid=company, guids=guids)
        self.beside.keep(run)


def seen_in(snapshot: Snapshot) -> list[Guid]:
    """The rows that its batches named, each once."""
    found: set[bytes] = set()
    for guids in snapshot.batches.values_list("guids", flat=True):
        found.update(bytes(guids[start : start + GUID_BYTES]) for start in range(0, len(guids), GUID_BYTES))
    return [Guid(bytes=each) for each in found]


def complete(guid: Guid, *, origin: Origin, max_deleted: str = "", dry_run: bool = False) -> Completed:
    """Deletes what the set has not, within the scope and in a transaction of its own, with a receipt.

    The second time it only says what the first one did. Raises 404, 410; Conflict, with what would go, if that is more
    than `max_deleted` (or than the snapshot itself says).
    """

    def work() -> Completed:
        snapshot = open_one(guid, lock="FOR UPDATE")
        if snapshot.run_guid:
            return Completed(snapshot.run_guid, snapshot.seen or 0, snapshot.deleted or 0)
        model, seen = model_of(snapshot), seen_in(snapshot)
        unseen = _unseen(snapshot, model, seen)
        _check_ceiling(snapshot, model, len(unseen), max_deleted or snapshot.max_deleted)
        acts = Acts(origin)
        if unseen and not dry_run:
            delete_together(model, unseen, company=snapshot.company_guid, acts=acts)
        Receipt(
            model=model,
            origin=origin,
            company=snapshot.company_guid,
            received=len(seen),
            counts=counts_of(acts.below or {"deleted": len(unseen)}),
            dry_run=dry_run,
        ).save()
        done = Completed(origin.run or guid, len(seen), len(unseen))
        if not dry_run:
            Snapshot.objects.filter(guid=guid).update(run_guid=done.run, seen=done.seen, deleted=done.deleted)
            snapshot.batches.all().delete()
        return done

    return in_transaction(work)


def _unseen(snapshot: Snapshot, model: type[Entity], seen: Sequence[Guid]) -> list[Guid]:
    """The active rows of the set, locked, that nobody has named and that were in it when the snapshot was opened."""
    relations, moment = relations_of(snapshot), snapshot.seen_by_database
    rows = model.objects.filter(**relations).exclude(guid__any_of=seen).order_by("guid")
    changed_in: dict[Guid, Guid] = dict(fetched(rows.values_list("guid", "changed_in"), lock="FOR NO KEY UPDATE"))
    old = _committed(changed_in.values(), moment)
    # The others have been written since. Where they were in the set before, too, it is that state that counts.
    late = [guid for guid, act in changed_in.items() if act not in old]
    since = Act.objects.filter(company=snapshot.company_guid).exclude(CommittedIn("position", moment))
    pairs: list[tuple[Guid, Guid]] = []
    if late:
        states = HISTORIES[model].objects.filter(guid__any_of=late, is_active=True, **relations)
        pairs = list(states.filter(replaced_in__in=since.values("guid")).values_list("guid", "changed_in"))
    before = _committed((act for _, act in pairs), moment)
    there = {guid for guid, act in pairs if act in before}
    return [guid for guid, act in changed_in.items() if act in old or guid in there]


def _committed(acts: Iterable[Guid | None], moment: str) -> set[Guid | None]:
    """Those that had been committed at that moment. What names no act was there before acts were kept."""
    known = Act.objects.filter(CommittedIn("position", moment), guid__any_of=list({*acts} - {None}))
    return {*known.values_list("guid", flat=True), None}


def _check_ceiling(snapshot: Snapshot, model: type[Entity], number: int, most: str) -> None:
    rows = model.objects.filter(**relations_of(snapshot)).count()
    wanted = most or DEFAULT_MAX
    allowed = int(rows * float(wanted[:-1]) / 100) if wanted.endswith("%") else int(wanted)
    if not most:
        allowed = max(allowed, AT_LEAST)
    if number > allowed:
        detail = f"{number} of {rows} {model.plural} would be deleted, more than {allowed}. Nothing was done."
        raise Conflict(detail, would_delete=number, max_deleted=allowed)
