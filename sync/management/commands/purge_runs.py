from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.core.management.base import CommandParser
from django.db.models import Q
from django.utils import timezone

from sync.idempotency import KEPT
from sync.models import IdempotentAnswer, Snapshot, SyncRun, Upload, UploadPart
from sync.snapshots import LIFE
from tenants.management.printing import NOT_REMOVED, PrintingCommand, add_age, age_of
from tenants.models import Counter, LoginSession

UPLOADED = timedelta(days=7)  # that the rows of an upload are kept after its end
SLICE = 10_000  # rows a statement, so that none of them takes long


class Command(PrintingCommand):
    help = (
        "Removes old receipts, snapshots and uploads, answers kept for an Idempotency-Key for more than 24 hours, "
        "counters of limits that nobody has used for as long, and expired logins."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_age(parser, timedelta(days=90), "90d")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        before = now - age_of(options)
        old: dict[str, Any] = {
            "runs": SyncRun.across_companies.filter(started_at__lt=before),
            "idempotency_keys": IdempotentAnswer.objects.filter(created_at__lt=now - KEPT),
            # Completed ones say for as long as receipts what they did; others were gone for clients after 24 hours.
            "snapshots": Snapshot.across_companies.filter(
                Q(run_guid=None, opened_at__lt=now - 2 * LIFE) | Q(opened_at__lt=before)
            ),
            "uploads": Upload.across_companies.filter(updated_at__lt=before),
            "upload_parts": UploadPart.across_companies.filter(
                upload__stage__in=("done", "unreadable"), upload__updated_at__lt=now - UPLOADED
            ),
            "counters": Counter.objects.filter(until__lt=int((now - KEPT).timestamp() * 1000)),
            "logins": LoginSession.objects.filter(expires_at__lt=now),
            "staff_sessions": Session.objects.filter(expire_date__lt=now),
        }
        counts: dict[str, int] = {}
        for name, rows in old.items():
            counts[name] = rows.count() if options["dry_run"] else 0
            while not options["dry_run"] and (some := list(rows.values_list("pk", flat=True)[:SLICE])):
                # With a snapshot goes what its batches named: not counted.
                _, gone = rows.model._base_manager.filter(pk__in=some).delete()
                counts[name] += gone[rows.model._meta.label]
        self.answer(options, counts, *([NOT_REMOVED] if options["dry_run"] else []))
