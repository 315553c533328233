"""What else is kept of what comes in: the answer under an Idempotency-Key; how far the import of a file has got."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from pieces.receipts import MAX_KEY
from pieces.receipts import SyncRun as SyncRun
from tenants.models import Company, GuidForeignKey, TenantRow

MAX_SOURCE = 500  # characters of a file's path
MAX_ACTOR = 300  # characters


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


class Feed(models.Model):
    """A single row, made when it is first asked for: with another identity no cursor is good any more."""

    KEY: ClassVar[int] = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=KEY)
    identity = models.UUIDField(default=uuid.uuid4)
    # How often rows had been purged of the companies that are gone, and once more for each of these.
    erased = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return str(self.identity)


class FileImport(TenantRow):
    """How far the import of a file has got; written with each batch, in its transaction, so that it can go on.

    The latest import of each file. `digest` stands for the rows that are done: a file that begins with other ones is
    another file. The counts are as in receipts.
    """

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
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
    snapshot_guid = models.UUIDField(null=True)  # the complete set that the file is
    errors = models.CharField(max_length=MAX_SOURCE, null=True)  # the path of the faulty rows' file
    errors_size = models.PositiveBigIntegerField(default=0)  # its bytes
    started_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["company", "entity", "source"], name="import_of_file"),)

    def __str__(self) -> str:
        return f"{self.entity} from {self.source}"

    @property
    def actor(self) -> str:
        """As acts and receipts name it, as far as they have room."""
        return f"import:{self.source}"[:MAX_ACTOR]


class Snapshot(TenantRow):
    """A complete set that its source sends in batches; what was there when it was opened and is not in it, goes."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+")
    entity = models.CharField(max_length=20)  # as in the path: "pieces"
    # What it is the complete set of: one of these, or else the whole company.
    project_guid = models.UUIDField(null=True)
    component_guid = models.UUIDField(null=True)
    assembly_guid = models.UUIDField(null=True)
    max_deleted = models.CharField(max_length=10)  # a number of rows or a percentage; "" for the default
    seen_by_database = models.TextField()  # which acts had been committed (pieces.expressions.CommittedIn)
    actor = models.CharField(max_length=300)
    opened_at = models.DateTimeField()
    # Once it is completed:
    run_guid = models.UUIDField(null=True)
    seen = models.PositiveIntegerField(null=True)
    deleted = models.PositiveIntegerField(null=True)

    def __str__(self) -> str:
        return f"{self.entity} {self.opened_at:%Y-%m-%d %H:%M:%S}"


class SeenBatch(TenantRow):
    """The rows that one batch of a snapshot named (sync.snapshots)."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="batches")
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    guids = models.BinaryField()

    def __str__(self) -> str:
        return f"{len(self.guids)} bytes of {self.snapshot_id}"
