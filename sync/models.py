"""What else is kept of what comes in: the answer under an Idempotency-Key; how far the import of a file has got."""

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from pieces.receipts import MAX_KEY
from pieces.receipts import SyncRun as SyncRun
from tenants.models import Company, GuidForeignKey, TenantRow

MAX_SOURCE = 500  # characters of a file's path
MAX_ACTOR = 300  # characters
MAX_NAME = 255  # characters of an uploaded file's name


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


class Overtaken(Exception):
    """Another process imports the same file, and has got on meanwhile."""


class Progress(TenantRow):
    """How far rows of one entity have got that go in batch by batch; written with each batch, in its transaction.

    The counts are as in receipts.
    """

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    entity = models.CharField(max_length=20)  # as in the path: "pieces"
    rows = models.PositiveBigIntegerField(default=0)  # that are done, faulty ones too
    inserted = models.PositiveBigIntegerField(default=0)
    updated = models.PositiveBigIntegerField(default=0)
    unchanged = models.PositiveBigIntegerField(default=0)
    restored = models.PositiveBigIntegerField(default=0)
    deleted = models.PositiveBigIntegerField(default=0)
    faulty = models.PositiveBigIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)  # no two writes have the same

    class Meta:
        abstract = True

    def write(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Writes these values to the row, not to this object: the transaction may still be rolled back. Returns them
        all. Raises Overtaken if the row is not as this object knows it any more."""
        written = {**values, "updated_at": timezone.now()}
        here = type(self).objects.filter(guid=self.guid, rows=self.rows, updated_at=self.updated_at)
        if not here.update(**written):
            raise Overtaken
        return written


class FileImport(Progress):
    """The latest import of each file, so that it can go on. `digest` stands for the rows that are done: a file that
    begins with other ones is another file."""

    source = models.CharField(max_length=MAX_SOURCE)  # the file's path, or "-"
    digest = models.BinaryField(max_length=32)
    snapshot_guid = models.UUIDField(null=True)  # the complete set that the file is
    errors = models.CharField(max_length=MAX_SOURCE, null=True)  # the path of the faulty rows' file
    errors_size = models.PositiveBigIntegerField(default=0)  # its bytes

    class Meta:
        constraints = (models.UniqueConstraint(fields=["company", "entity", "source"], name="import_of_file"),)

    def __str__(self) -> str:
        return f"{self.entity} from {self.source}"

    @property
    def actor(self) -> str:
        """As acts and receipts name it, as far as they have room."""
        return f"import:{self.source}"[:MAX_ACTOR]


class Upload(Progress):
    """A file that somebody has brought by the page "Upload", and how far the server is with it (sync.files.uploads).
    `rows` counts those that are done in the stage; `mapping` has the field of each of the columns, if it has one."""

    class Stage(models.TextChoices):
        READING = "reading", "being read"
        COLUMNS = "columns", "columns to be chosen"
        CHECKING = "checking", "being checked"
        CHECKED = "checked", "checked, not imported yet"
        IMPORTING = "importing", "being imported"
        DONE = "done", "imported"
        UNREADABLE = "unreadable", "can't be read"

    WORKING: ClassVar[Any] = frozenset({Stage.READING, Stage.CHECKING, Stage.IMPORTING})

    name = models.CharField(max_length=MAX_NAME)  # of the file, on the person's machine
    size = models.PositiveBigIntegerField()  # bytes
    actor = models.CharField(max_length=MAX_ACTOR)  # who brought it; of an import, who started that
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.READING)
    total = models.PositiveIntegerField(default=0)  # rows of the file, as far as they have been read
    stored = models.PositiveBigIntegerField(default=0)  # bytes of these
    position = models.JSONField(default=int)  # where reading goes on (sync.files.uploads)
    columns = models.JSONField(default=list)
    mapping = models.JSONField(default=dict)
    notes = models.JSONField(default=list)  # what a person should know about the file
    reasons = models.JSONField(default=list)  # kinds of faults: [field, type, how many, the first of them]

    class Meta:
        indexes = (models.Index(fields=["company", "guid"], name="upload_by_company"),)

    def __str__(self) -> str:
        return self.name

    @property
    def batches(self) -> Any:
        return self.parts.filter(is_file=False)

    @property
    def state(self) -> str:
        label, of = str(self.Stage(self.stage).label), "" if self.stage == self.Stage.READING else f"{self.rows:,} of "
        return f"{label}, {of}{self.total:,} rows" if self.stage in self.WORKING else label

    @property
    def by(self) -> str:
        return self.actor.partition(":")[2]


class UploadPart(TenantRow):
    """A piece of an upload: some bytes of its file, until it has been read, or a batch of its rows."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts", db_index=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    is_file = models.BooleanField(default=False)
    start = models.PositiveBigIntegerField()  # bytes, or rows, before it
    data = models.BinaryField()
    # Of a batch, as JSON: its faulty rows, and what tells its other rows apart from those of later batches.
    faults = models.BinaryField(default=b"[]")
    keys = models.BinaryField(default=b"{}")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["upload", "is_file", "start"], name="upload_part_by_start"),)

    def __str__(self) -> str:
        return f"{self.upload_id} from {self.start}"


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
