"""Complete sets: a source sends all that there is, in batches; what it did not send goes (contract, "Complete sets").
Each batch notes the guids that it named in one row: one for each would take as long to write as an unchanged batch
takes in all. The database takes them apart where it compares them: a set may have millions. Completing takes what was
there when the snapshot was opened and no batch named; what others added, brought back or moved into the set since,
stays."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID as Guid

import orjson
from django.db import connection
from django.db.models import BooleanField, Exists, OuterRef, Q
from django.db.models.expressions import RawSQL
from django.utils import timezone
from rest_framework.exceptions import NotFound

from pieces.acts import Origin
from pieces.bulk import database_clock
from pieces.changes import Acts, delete_together
from pieces.expressions import CommittedIn, committed_now, first_after
from pieces.models import HISTORIES, LEVELS_BY_KIND, LEVELS_BY_PLURAL, Act, Deletion, Entity
from pieces.querysets import EntityQuerySet, fetched
from ractory.api.errors import Conflict, Fault, Gone, Unprocessable
from ractory.api.retry import transactional
from ractory.api.timeouts import allow_cascade
from sync.models import SeenBatch, Snapshot

LIFE = timedelta(hours=24)
PERCENT = re.compile(r"(100|[0-9]{1,2}(\.[0-9]{1,2})?)%")
DEFAULT_MAX, AT_LEAST = "10%", 10  # of the rows, and rows
SCOPE = ("project_guid", "component_guid", "assembly_guid")  # a set is of one of these, or else of the whole company

# `|| ''` reads a batch as a whole, not anew for each guid. OFFSET 0 keeps PostgreSQL from merging the steps: it would
# take the whole batch along beside each guid.
SEEN_POSTGRESQL = """
    SELECT encode(substr(whole, place, 16), 'hex')::uuid AS guid
    FROM (SELECT guids || '' AS whole FROM sync_seenbatch WHERE snapshot_id = %s::uuid OFFSET 0) AS batch,
        generate_series(1, length(whole), 16) AS place OFFSET 0
"""
SEEN_SQLITE = "SELECT value AS guid FROM sync_seenbatch, json_each(CAST(guids AS TEXT)) WHERE snapshot_id = %s"


def relations_of(snapshot: Snapshot | None) -> dict[str, Guid]:
    """What all rows of the set have in common: the relations, by column."""
    if snapshot is None:
        return {}
    narrower = {column: guid for column in SCOPE if (guid := getattr(snapshot, column))}
    return {"company_guid": snapshot.company_guid, **narrower}


@transactional
def open_snapshot(
    model: type[Entity], within: Mapping[str, Guid], *, company: Guid | None, max_deleted: str, actor: str
) -> Snapshot:
    """A new one, of the company, or of the one parent that `within` names by its column. Raises 422 for a parent that
    is not visible, active and above this entity, or if no company is known."""
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
    # What has been committed is asked first: what is committed then is no part of the set.
    made = Snapshot(**about, seen_by_database=committed_now(), opened_at=database_clock())
    made.save(force_insert=True)
    return made


def open_one(guid: Guid, *, lock: bool = False) -> Snapshot:
    """One that may be pushed to and completed, or is complete. Raises 404, or 410 if its time is over."""
    rows = Snapshot.objects.select_for_update() if lock else Snapshot.objects
    snapshot: Snapshot | None = rows.filter(guid=guid).first()
    if snapshot is None:
        raise NotFound(f"There is no snapshot {guid}.")
    if snapshot.run_guid is None and snapshot.opened_at + LIFE < timezone.now():
        raise Gone(f"The snapshot {guid} was not completed within {LIFE.total_seconds() / 3600:.0f} hours.")
    return snapshot


@transactional
def give_up(guid: Guid) -> None:
    """Forgets it; raises as `open_one`, and 409 if it is complete."""
    if open_one(guid, lock=True).run_guid:
        raise Conflict(f"The snapshot {guid} is complete already.")
    Snapshot.objects.filter(guid=guid).delete()


def hold_open(guid: Guid) -> None:
    """Keeps it from being completed until the transaction ends; others may send batches of it at the same time. Raises
    409 if it is complete, 404 if it has been given up."""
    # The lock that the foreign key of what is noted takes anyway; who completes the snapshot waits for it.
    found = fetched(Snapshot.objects.filter(guid=guid).values_list("run_guid"), lock="FOR KEY SHARE")
    if found != [(None,)]:
        open_one(guid)  # raises 404 if it is not there
        raise Conflict(f"The snapshot {guid} is complete already.")


def note_seen(snapshot: Snapshot, guids: Sequence[Guid]) -> None:
    """Keeps what a batch named: 16 bytes each; on SQLite, which can't take these apart, JSON."""
    if guids:
        on_sqlite = connection.vendor == "sqlite"
        packed = orjson.dumps([guid.hex for guid in guids]) if on_sqlite else b"".join([guid.bytes for guid in guids])
        SeenBatch.objects.create(snapshot=snapshot, company_guid=snapshot.company_guid, guids=packed)


@transactional
def complete(guid: Guid, *, origin: Origin, max_deleted: str = "", dry_run: bool = False) -> Snapshot:
    """Deletes what the set has not, within the scope and in a transaction of its own, with a receipt. The snapshot says
    what was done; the second time, what the first one did. Raises 404, 410; Conflict if more would go than
    `max_deleted` (or the snapshot itself) says."""
    allow_cascade()
    snapshot = open_one(guid, lock=True)
    if snapshot.run_guid:
        return snapshot
    model, seen, acts = LEVELS_BY_PLURAL[snapshot.entity], count_seen(guid), Acts(origin)
    missing, allowed = missing_rows(snapshot), _allowed(snapshot, max_deleted)
    going: list[Guid] = []
    for rows in () if dry_run else missing:
        # In this order: what somebody writes while the first statement waits for it is among the second's.
        going += [row for (row,) in fetched(rows.values_list("guid")[: allowed + 1], lock="FOR NO KEY UPDATE")]
    number = len(going)
    if dry_run or number > allowed:
        number = sum(rows.count() for rows in missing)
    if number > allowed:
        detail = f"{number} {model.plural} would be deleted, more than {allowed}. Nothing was done."
        raise Conflict(detail, would_delete=number, max_deleted=allowed)
    if going:
        deletion = Deletion(company_guid=snapshot.company_guid, kind=model.kind.value)
        delete_together(deletion, going, acts=acts)
    else:
        acts.below["deleted"] = number  # would be
    acts.save_receipt(model, company=snapshot.company_guid, received=seen, http_status=200, dry_run=dry_run)
    snapshot.run_guid, snapshot.seen, snapshot.deleted = origin.run, seen, number
    if not dry_run:
        snapshot.save(update_fields=["run_guid", "seen", "deleted"])
        snapshot.batches.all().delete()
    return snapshot


def missing_rows(snapshot: Snapshot) -> tuple[EntityQuerySet, EntityQuerySet]:
    """The active rows of the set that no batch has named and that were in it when the snapshot was opened: those that
    nobody has written since, and those that somebody has."""
    model, relations, moment = LEVELS_BY_PLURAL[snapshot.entity], relations_of(snapshot), snapshot.seen_by_database
    unnamed = model.objects.filter(unseen(model, snapshot.guid), **relations).order_by("guid")
    acts = Act.objects.filter(company=snapshot.company_guid)
    # What names no act was there before acts were kept.
    old = Q(changed_in=None) | Exists(acts.filter(CommittedIn("position", moment=moment), guid=OuterRef("changed_in")))
    since = acts.filter(position__gte=first_after(moment)).exclude(CommittedIn("position", moment=moment))
    # Of what has been written since, the state counts that it had then.
    states = HISTORIES[model].objects.filter(old, is_active=True, replaced_in__in=since.values("guid"), **relations)
    return unnamed.filter(old), unnamed.exclude(old).filter(guid__in=states.values("guid"))


def _allowed(snapshot: Snapshot, given: str) -> int:
    """How many rows may go at most."""
    most = given or snapshot.max_deleted
    wanted = most or DEFAULT_MAX
    if not wanted.endswith("%"):
        return int(wanted)
    rows = LEVELS_BY_PLURAL[snapshot.entity].objects.filter(**relations_of(snapshot)).count()
    return max(int(rows * Decimal(wanted[:-1]) / 100), 0 if most else AT_LEAST)


def unseen(model: type[Entity], snapshot: Guid) -> RawSQL:
    """Whether no batch has named a row of this level."""
    table = model._meta.db_table
    sql = f"NOT EXISTS (SELECT FROM ({SEEN_POSTGRESQL}) AS seen WHERE seen.guid = {table}.guid)"
    if connection.vendor == "sqlite":
        sql = f"{table}.guid NOT IN ({SEEN_SQLITE})"
    return RawSQL(sql, [snapshot], output_field=BooleanField())  # noqa: S611  # the guid is a parameter


def count_seen(snapshot: Guid) -> int:
    """How many rows its batches have named, each once."""
    seen = SEEN_SQLITE if connection.vendor == "sqlite" else SEEN_POSTGRESQL
    sql = f"SELECT count(*) FROM (SELECT DISTINCT guid FROM ({seen}) AS seen) AS named"  # noqa: S608  # no input in it
    return int(connection.cursor().execute(sql, [snapshot]).fetchone()[0])
