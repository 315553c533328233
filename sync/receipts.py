"""Filling in the receipt of a request while it is served (contract, "Sync": `X-Sync-Run`)."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson
from django.db import DatabaseError, transaction
from django.utils import timezone

from pieces.models import Entity
from ractory.api.errors import MAX_LISTED, ConflictRetry
from ractory.api.retry import in_transaction
from sync.engine import Outcome
from sync.metrics import count_run
from sync.models import RunStatus, SyncRun
from sync.planning import Action
from sync.schemas import Batch
from tenants.caller import Caller
from tenants.scope import Scope, current_scope, within

logger = logging.getLogger(__name__)


class Receipt:
    """The SyncRun of one request, from the moment that its caller is known until it is stored."""

    def __init__(
        self, model: type[Entity], caller: Caller, request_id: str, *, idempotency_key: str | None = None
    ) -> None:
        self.started = time.perf_counter()
        self.run = SyncRun(
            entity=model.plural,
            company_guid=caller.company,
            actor=caller.actor,
            request_id=request_id,
            idempotency_key=idempotency_key,
            started_at=timezone.now(),
        )

    def take(self, batch: Batch, *, unchanged: int = 0) -> None:
        """Notes what came in: the items of the batch, and those that were known before it was read."""
        self.run.received = len(batch.items) + unchanged
        self.run.ignored_json = orjson.dumps(batch.ignored).decode()
        self.run.company_guid = current_scope().company  # a SystemAdmin may have named one

    def succeed(self, batch: Batch, outcome: Outcome, *, dry_run: bool) -> None:
        """Stores the receipt with the data, in the caller's transaction."""
        run, counts = self.run, outcome.counts
        if run.company_guid is None:  # a SystemAdmin's: of its items' company, if they share one
            companies = {item["company_guid"] for item in batch.items}
            run.company_guid = companies.pop() if len(companies) == 1 else None
        run.inserted, run.updated = counts[Action.INSERTED], counts.total() - counts[Action.INSERTED]
        run.unchanged, run.restored = counts[Action.UNCHANGED], counts[Action.RESTORED]
        run.deleted, run.dry_run = counts[Action.DELETED], dry_run
        self._store(RunStatus.SUCCEEDED, 200)

    def reject(self, http_status: int, detail: str | Sequence[Any], fault_count: int) -> bool:
        """Stores the receipt of a refusal, whose data has been rolled back, in a transaction of its own.

        `detail` is as it goes over the wire, with the first of the faults. False if that can't be done, because the
        database is away or busy: the refusal stands all the same.
        """
        faults = [{"loc": [], "msg": detail, "type": "refused"}] if isinstance(detail, str) else detail[:MAX_LISTED]
        self.run.errors_json, self.run.fault_count = orjson.dumps(faults).decode(), fault_count
        try:
            in_transaction(lambda: self._store(RunStatus.REJECTED, http_status))
        except (ConflictRetry, DatabaseError) as error:
            logger.error("No receipt for a sync that was answered %s", http_status, exc_info=error)
            return False
        return True

    def _store(self, status: RunStatus, http_status: int) -> None:
        self.run.status, self.run.http_status = status, http_status
        self.run.duration_ms = round((time.perf_counter() - self.started) * 1000)
        with within(Scope(self.run.company_guid)):  # a refusal can come before there is a scope
            self.run.save(force_insert=True)
        transaction.on_commit(partial(count_run, self.run), robust=True)
