"""Receipts (SyncRun): what became of a request that writes. One is saved in the transaction of its act, that of a
refused request in one of its own (contract, "Sync"); once committed, it is counted for Prometheus."""

import logging
import uuid
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import orjson
from django.db import DatabaseError, models, transaction
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone
from prometheus_client import Counter, Histogram
from uuid_utils.compat import uuid7

from pieces.acts import Operation, Origin
from pieces.models import Entity
from ractory.api.errors import MAX_LISTED, ConflictRetry
from ractory.api.retry import in_transaction
from tenants.models import Company, GuidForeignKey, TenantRow
from tenants.scope import Scope, within

logger = logging.getLogger(__name__)

OUTCOMES = ("inserted", "updated", "unchanged", "restored", "deleted")
ITEMS = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000)
RUNS = Counter("ractory_sync_runs", "Receipts written", ["entity", "status", "http_status"])
ROWS = Counter("ractory_sync_rows", "Items of batches that were written", ["entity", "outcome"])
BATCH = Histogram("ractory_sync_batch_items", "Items of a batch", ["entity"], buckets=ITEMS)
FAULTS = Counter("ractory_sync_faults", "Faults of refused batches, at most 101 of each", ["entity", "type"])

MAX_KEY = 255  # characters of an Idempotency-Key
# Characters of 100 faults and of 100 names in JSON, at their worst: what they hold of a client's is cut to 100.
MAX_ERRORS, MAX_IGNORED = 400_000, 70_000


class RunStatus(models.TextChoices):
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"


# The condition of an index: Django makes the same SQL of it in the query.
BROUGHT_DATA = models.Q(
    operation__in=[Operation.SYNC.value, Operation.IMPORT.value], status=RunStatus.SUCCEEDED.value, dry_run=False
)


class SyncRun(TenantRow):
    """The receipt of one sync, or of another act; of a refused request too. Newer ones have greater guids (UUIDv7).
    `inserted` and `updated` count items of a sync, rows of all else; `unchanged`, `restored` and `deleted` are in
    `updated` too."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Of the caller; for a SystemAdmin the one that the batch is for, null if it mixes several.
    company = GuidForeignKey(Company, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    operation = models.CharField(max_length=10, choices=Operation.choices, default=Operation.SYNC)
    entity = models.CharField(max_length=20)  # as in the path: "pieces"
    status = models.CharField(max_length=10, choices=RunStatus.choices)
    http_status = models.PositiveSmallIntegerField()
    received = models.PositiveIntegerField(default=0)  # items; 0 if the body was refused before it was read
    inserted = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    restored = models.PositiveIntegerField(default=0)
    deleted = models.PositiveIntegerField(default=0)
    dry_run = models.BooleanField(default=False)
    fault_count = models.PositiveIntegerField(default=0, db_default=0)  # all of them; errors_json lists the first
    # All of them by field and type, the most frequent first, each with an example; of an older receipt none.
    fault_kinds_json = models.TextField(default="[]", db_default="[]")
    # JSON as text: what a client sent may hold escaped NULs, which PostgreSQL's jsonb refuses.
    errors_json = models.TextField(default="[]")
    ignored_json = models.TextField(default="[]")
    actor = models.CharField(max_length=300)
    request_id = models.CharField(max_length=128)
    idempotency_key = models.CharField(max_length=MAX_KEY, null=True)
    started_at = models.DateTimeField(default=timezone.now)
    duration_ms = models.PositiveIntegerField(default=0)

    LONG: ClassVar[tuple[str, ...]] = ("errors_json", "fault_kinds_json", "ignored_json")  # for who lists many

    class Meta:
        app_label = "sync"  # where its table and its pages are
        constraints = tuple(
            models.CheckConstraint(name=f"run_{what}_bounded", condition=LessThanOrEqual(Length(f"{what}_json"), limit))
            for what, limit in (("errors", MAX_ERRORS), ("ignored", MAX_IGNORED))
        )
        indexes = (
            models.Index(fields=["company", "guid"], name="run_by_company"),
            models.Index(fields=["company", "request_id"], name="run_by_request_id"),
            models.Index(
                fields=["company", "idempotency_key"],
                name="run_by_idempotency_key",
                condition=models.Q(idempotency_key__isnull=False),
            ),
            # When data came last, however many refusals and changes by hand came since.
            models.Index(fields=["company", "guid"], name="run_that_brought_data", condition=BROUGHT_DATA),
        )

    def __str__(self) -> str:
        return f"{self.operation} of {self.entity} {self.started_at:%Y-%m-%d %H:%M:%S} {self.status}"

    def as_wire(self) -> dict[str, Any]:
        """The receipt (contract, "Sync")."""
        names = (
            *("guid", "operation", "entity", "status", "http_status", "received", "inserted", "updated"),
            *("unchanged", "restored", "deleted", "dry_run", "actor", "request_id", "idempotency_key", "started_at"),
            *("duration_ms", "company_guid"),
        )
        faults = orjson.loads(self.errors_json)
        errors = [{name: fault[name] for name in ("loc", "msg", "type")} for fault in faults]
        receipt = {name: getattr(self, name) for name in names}
        return receipt | {"errors": errors, "ignored_fields": orjson.loads(self.ignored_json)}

    def count(self) -> None:
        """Counts it for Prometheus; what a dry run found was not written."""
        RUNS.labels(self.entity, self.status, self.http_status).inc()
        if self.received:
            BATCH.labels(self.entity).observe(self.received)
        if self.status == RunStatus.REJECTED:
            for kind, number in Tally(fault["type"] for fault in orjson.loads(self.errors_json)).items():
                FAULTS.labels(self.entity, kind).inc(number)
        elif not self.dry_run:
            rows = {outcome: getattr(self, outcome) for outcome in OUTCOMES}
            # `updated` are all that were not inserted; here each item is counted once.
            rows["updated"] -= self.unchanged + self.restored + self.deleted
            for outcome, number in rows.items():
                ROWS.labels(self.entity, outcome).inc(number)


def first_guid(at: datetime) -> uuid.UUID:
    """The least guid (UUIDv7) that a run of this moment can have: a range of time is a range of the index."""
    return uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a receipt says, before it is saved: once, in the caller's transaction."""

    model: type[Entity]
    origin: Origin
    company: uuid.UUID | None  # of all that was written, if it is of one
    received: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)  # by the names of the columns
    faults: Sequence[Mapping[str, Any]] = ()  # as records; the first are kept
    fault_count: int = 0
    kinds: Sequence[Mapping[str, Any]] = ()  # ractory.api.errors.by_kind
    ignored: Sequence[str] = ()
    http_status: int = 200
    dry_run: bool = False
    idempotency_key: str | None = None

    def save(self) -> None:
        origin, own = self.origin, ("received", "fault_count", "http_status", "dry_run", "idempotency_key")
        row = SyncRun(
            guid=origin.run,
            company_guid=self.company,
            entity=self.model.plural,
            status=RunStatus.SUCCEEDED if self.http_status < 300 else RunStatus.REJECTED,
            errors_json=orjson.dumps(self.faults[:MAX_LISTED]).decode(),
            fault_kinds_json=orjson.dumps(self.kinds).decode(),
            ignored_json=orjson.dumps(self.ignored).decode(),
            duration_ms=max(0, round((timezone.now() - origin.started_at).total_seconds() * 1000)),
            **self.counts,
            **{name: getattr(self, name) for name in own},
            **{name: getattr(origin, name) for name in ("operation", "actor", "request_id", "started_at")},
        )
        with within(Scope(self.company)):  # a refusal can come before there is a scope
            row.save(force_insert=True)
        transaction.on_commit(row.count, robust=True)

    def save_apart(self) -> bool:
        """Saves that the request was refused, in a transaction of its own. False if the database is away or busy: the
        refusal stands all the same."""
        try:
            in_transaction(self.save)
        except (ConflictRetry, DatabaseError) as error:
            logger.error("No receipt for a request that was answered %s", self.http_status, exc_info=error)
            return False
        return True
