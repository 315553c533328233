"""What is kept of each request: its receipt (SyncRun), and the answer under its Idempotency-Key. Of a file that is
imported: how far it has got."""

import uuid
from datetime import datetime
from typing import Any, ClassVar

import orjson
from django.db import models
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone
from uuid_utils.compat import uuid7

from tenants.models import Company, GuidForeignKey
from tenants.scope import TenantManager

MAX_KEY = 255  # characters of an Idempotency-Key
MAX_SOURCE = 500  # characters of a file's path
# Characters of 100 faults and of 100 names in JSON, at their worst: what they hold of a client's is cut to 100.
MAX_ERRORS, MAX_IGNORED = 400_000, 70_000


def at_most(limit: int, column: str) -> LessThanOrEqual:
    """That a text has so many characters, as the database checks it."""
    return LessThanOrEqual(Length(column), limit)


class Bytes(models.Func):
    """How many bytes a text takes, which PostgreSQL knows without reading one that is stored out of line."""

    function = "octet_length"
    output_field = models.IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="length(CAST(%(expressions)s AS blob))", **context)


class RunStatus(models.TextChoices):
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"


class SyncRun(models.Model):
    """The receipt of one sync request, a refused one too. Newer runs have greater guids (UUIDv7).

    `inserted` and `updated` are as in the answer; `unchanged`, `restored` and `deleted` are counted in `updated` too.
    """

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Of the caller; for a SystemAdmin the one that the batch is for, null if it mixes several.
    company = GuidForeignKey(Company, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    company_guid: uuid.UUID | None
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
    # JSON as text: what a client sent may hold escaped NULs, which PostgreSQL's jsonb refuses.
    errors_json = models.TextField(default="[]")
    ignored_json = models.TextField(default="[]")
    actor = models.CharField(max_length=300)
    request_id = models.CharField(max_length=128)
    idempotency_key = models.CharField(max_length=MAX_KEY, null=True)
    started_at = models.DateTimeField(default=timezone.now)
    duration_ms = models.PositiveIntegerField(default=0)

    BYTES: ClassVar[Any] = Bytes("errors_json") + Bytes("ignored_json")  # of what may be long

    objects: ClassVar[Any] = TenantManager()
    across_companies: ClassVar[Any] = models.Manager()

    class Meta:
        constraints = (
            models.CheckConstraint(name="run_errors_bounded", condition=at_most(MAX_ERRORS, "errors_json")),
            models.CheckConstraint(name="run_ignored_bounded", condition=at_most(MAX_IGNORED, "ignored_json")),
        )
        indexes = (
            models.Index(fields=["company", "guid"], name="run_by_company"),
            models.Index(fields=["company", "request_id"], name="run_by_request_id"),
            models.Index(
                fields=["company", "idempotency_key"],
                name="run_by_idempotency_key",
                condition=models.Q(idempotency_key__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.entity} {self.started_at:%Y-%m-%d %H:%M:%S} {self.status}"

    def as_wire(self) -> dict[str, Any]:
        """The receipt (contract, "Sync")."""
        names = (
            *("guid", "entity", "status", "http_status", "received", "inserted", "updated", "unchanged", "restored"),
            *("deleted", "dry_run", "actor", "request_id", "idempotency_key", "started_at", "duration_ms"),
            "company_guid",
        )
        receipt = {name: getattr(self, name) for name in names}
        return receipt | {
            "errors": [
                {name: fault[name] for name in ("loc", "msg", "type")} for fault in orjson.loads(self.errors_json)
            ],
            "ignored_fields": orjson.loads(self.ignored_json),
        }


def first_guid(at: datetime) -> uuid.UUID:
    """The least guid (UUIDv7) that a run of this moment can have: a range of time is a range of the index."""
    return uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))


class IdempotentAnswer(models.Model):
    """The first answer to a request under an Idempotency-Key; written with its data, in one transaction."""

    caller_guid = models.UUIDField()
    key = models.CharField(max_length=MAX_KEY)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, null=True, related_name="+")
    fingerprint = models.BinaryField(max_length=32)
    body = models.BinaryField()
    headers_json = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["caller_guid", "key"], name="idempotency_key_of_caller"),)

    def __str__(self) -> str:
        return self.key


class FileImport(models.Model):
    """How far the import of a file has got; written with each batch, in its transaction, so that it can go on.

    The latest import of each file. `digest` stands for the rows that are done: a file that begins with other ones is
    another file. The counts are as in receipts.
    """

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    company_guid: uuid.UUID
    entity = models.CharField(max_length=20)  # as in the path: "pieces"
    source = models.CharField(max_length=MAX_SOURCE)  # the file's path, or "-"
    rows = models.PositiveBigIntegerField(default=0)  # that are done, faulty ones too
    digest = models.BinaryField(max_length=32)
    inserted = models.PositiveBigIntegerField(default=0)
    updated = models.PositiveBigIntegerField(default=0)
    unchanged = models.PositiveBigIntegerField(default=0)
    restored = models.PositiveBigIntegerField(default=0)
    deleted = models.PositiveBigIntegerField(default=0)
    faulty = models.PositiveBigIntegerField(default=0)
    errors = models.CharField(max_length=MAX_SOURCE, null=True)  # the path of the faulty rows' file
    errors_size = models.PositiveBigIntegerField(default=0)  # its bytes
    started_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[Any] = TenantManager()
    across_companies: ClassVar[Any] = models.Manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["company", "entity", "source"], name="import_of_file"),)

    def __str__(self) -> str:
        return f"{self.entity} from {self.source}"
