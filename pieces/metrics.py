"""What is counted of every act that leaves a receipt, for Prometheus (ractory.api.metrics)."""

from collections import Counter as Tally
from typing import TYPE_CHECKING

import orjson
from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from pieces.receipts import SyncRun

OUTCOMES = ("inserted", "updated", "unchanged", "restored", "deleted")
ITEMS = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000)

RUNS = Counter("ractory_sync_runs", "Receipts written", ["entity", "status", "http_status"])
ROWS = Counter("ractory_sync_rows", "Items of batches that were written", ["entity", "outcome"])
BATCH = Histogram("ractory_sync_batch_items", "Items of a batch", ["entity"], buckets=ITEMS)
FAULTS = Counter("ractory_sync_faults", "Faults of refused batches, at most 101 of each", ["entity", "type"])


def count_run(run: "SyncRun") -> None:
    """Counts a receipt, once it is committed; what a dry run found was not written."""
    RUNS.labels(run.entity, run.status, run.http_status).inc()
    if run.received:
        BATCH.labels(run.entity).observe(run.received)
    if run.status == "rejected":
        for kind, number in Tally(fault["type"] for fault in orjson.loads(run.errors_json)).items():
            FAULTS.labels(run.entity, kind).inc(number)
    elif not run.dry_run:
        rows = {outcome: getattr(run, outcome) for outcome in OUTCOMES}
        # A receipt's `updated` are all that were not inserted; here each item is counted once.
        rows["updated"] -= run.unchanged + run.restored + run.deleted
        for action, number in rows.items():
            ROWS.labels(run.entity, action).inc(number)
