"""Acts, of which each change of rows is one, and deletions, which name what went together."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from pieces.bulk import BulkQuerySet
from ractory.api.middleware import current_request_id
from tenants.models import Company, GuidForeignKey, TenantRow
from tenants.scope import TenantManager


class Kind(models.TextChoices):
    """The four levels, from the top."""

    PROJECT = "project"
    COMPONENT = "component"
    ASSEMBLY = "assembly"
    PIECE = "piece"

    @property
    def column(self) -> str:
        """The column by which an entity further down names the one of this level that it is in."""
        return f"{self.value}_guid"


class Operation(models.TextChoices):
    """What an act was."""

    SYNC = "sync"
    IMPORT = "import"
    EDIT = "edit"
    DELETE = "delete"
    RESTORE = "restore"
    UNDO = "undo"
    COMPLETE = "complete"


class Act(TenantRow):
    """One committed change of a company's rows; a transaction that writes rows of several companies is one for each.
    Guids grow (UUIDv7), but the order of commits is `position`, then `guid`."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    operation = models.CharField(max_length=10, choices=Operation.choices)
    actor = models.CharField(max_length=300)
    request_id = models.CharField(max_length=128, blank=True)
    run_guid = models.UUIDField(null=True, editable=False)  # the receipt in sync
    undoes = models.UUIDField(null=True, editable=False)  # the run that it took back
    at = models.DateTimeField()
    position = models.BigIntegerField()  # 0: before positions were kept

    class Meta:
        indexes = (
            models.Index(fields=["company", "position", "guid"], name="act_in_order"),
            # The same for every company: SystemAdmin's feed, the feed's lag, and SQLite's next position.
            models.Index(fields=["position", "guid"], name="act_in_order_of_all"),
            models.Index(fields=["run_guid"], name="act_by_run", condition=Q(run_guid__isnull=False)),
            models.Index(fields=["undoes"], name="act_by_undone_run", condition=Q(undoes__isnull=False)),
        )

    def __str__(self) -> str:
        return f"{self.operation} {self.at:%Y-%m-%d %H:%M:%S}"


class Deletion(models.Model):
    """One act of soft deletion: who, when, through what, how much. Every row it took carries its guid."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The unique constraint has an index. With one of its own PostgreSQL looked at all of the company's deletions to
    # check the foreign key of each deleted row.
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    root_guid = models.UUIDField(db_index=True)  # of several that went together, one
    roots = models.PositiveIntegerField(default=1, db_default=1)
    act_guid = models.UUIDField(null=True, editable=False)  # null: made before acts were kept
    actor = models.CharField(max_length=300)
    request_id = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    # How many rows below the root went with it.
    components = models.PositiveIntegerField(default=0)
    assemblies = models.PositiveIntegerField(default=0)
    pieces = models.PositiveIntegerField(default=0)
    restored_at = models.DateTimeField(null=True, blank=True)
    restored_by = models.CharField(max_length=300, null=True, blank=True)
    # Since then some of its rows may be gone for good (pieces.purging): it can't be restored any more.
    purged_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = TenantManager.from_queryset(BulkQuerySet)()

    class Meta:
        verbose_name_plural = "trash"
        constraints = (models.UniqueConstraint(fields=["company", "guid"], name="deletion_company_guid"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.root_guid}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: what the act, once it is one, says of it."""

    operation: Operation
    actor: str
    request_id: str = field(default_factory=current_request_id.get)  # "" outside of a request
    run: uuid.UUID | None = None  # its receipt, if it is to have one
    undoes: uuid.UUID | None = None  # the run that it takes back
    started_at: datetime = field(default_factory=timezone.now)
