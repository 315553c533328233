"""Reads on a streaming replica (REPLICA_URL), while it is fit: by views that are marked `may_lag`; everything else
keeps to the primary (docs/decisions/0013-reads-on-a-replica.md)."""

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections
from prometheus_client import Counter
from rest_framework.request import Request
from rest_framework.response import Response

from ractory.api.retry import CANCELLED, DEADLOCK, SERIALIZATION, sqlstate

logger = logging.getLogger(__name__)

PRIMARY, REPLICA = DEFAULT_DB_ALIAS, "replica"
LOOK_EVERY, TRY_AGAIN = 0.5, 5.0  # seconds: between two looks at a replica that answers, and at one that does not
WRITTEN = "SELECT pg_current_wal_lsn() - '0/0'"  # bytes of the log, as the next
REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' ELSE -1 END"

READS = Counter("ractory_reads", "Lists and single objects, where there is a replica", ["source"])

_source: ContextVar[str] = ContextVar("read_from", default=PRIMARY)


class ReplicaRouter:
    """Django's DATABASE_ROUTERS: reads go where `may_lag` says, all else to the primary."""

    def db_for_read(self, model: type[Any], **hints: Any) -> str:
        return _source.get()

    def db_for_write(self, model: type[Any], **hints: Any) -> str:
        return PRIMARY

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == PRIMARY


def may_lag(view: Callable[..., Response]) -> Callable[..., Response]:
    """A view's method that only reads, and may show what was true a moment ago: from the replica, if it is fit and has
    the syncs of `X-Sync-Run`, unless `Cache-Control` is `no-cache`. What fails there runs again on the primary."""

    @wraps(view)
    def wrapper(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        replica = the_replica()
        if replica is None:
            return view(self, request, *args, **kwargs)
        directives = [word.strip() for word in request.headers.get("Cache-Control", "").lower().split(",")]
        if "no-cache" not in directives and replica.is_fit():
            token = _source.set(REPLICA)
            try:
                if _has_seen(request):
                    answer = view(self, request, *args, **kwargs)
                    READS.labels("replica").inc()
                    return answer
            except Error as error:
                if sqlstate(error) == CANCELLED:  # and would be again
                    raise
                replica.note(error)
            finally:
                _source.reset(token)
        READS.labels("primary").inc()
        return view(self, request, *args, **kwargs)

    return wrapper


def _has_seen(request: Request) -> bool:
    """Whether the replica has the receipts that the caller names: each was committed with its data."""
    named = request.headers.get("X-Sync-Run")
    if named is None:
        return True
    try:
        guids = {uuid.UUID(word.strip()) for word in named.split(",")}
    except ValueError:
        return False
    receipts = apps.get_model(settings.RECEIPT_MODEL)._default_manager
    return bool(receipts.filter(guid__in=guids).count() == len(guids))


def ask(alias: str, question: str) -> int:
    (answer,) = connections[alias].cursor().execute(question).fetchone()
    return -1 if answer is None else int(answer)


@dataclass
class Replica:
    """What this process knows of the replica, which must have replayed all that the primary had written `max_lag`
    seconds ago. It looks at most twice a second. Positions are compared, not clocks, so an idle primary and a replica
    that is cut off are told apart."""

    max_lag: float
    clock: Callable[[], float] = time.monotonic
    ask: Callable[[str, str], int] = ask
    _fit: bool = False
    _logged: bool | None = None
    _next_look: float = 0.0
    _written: deque[tuple[float, int]] = field(default_factory=deque)  # when, and how far the primary had written

    def is_fit(self) -> bool:
        """Whether reads may go there."""
        if self.clock() >= self._next_look:
            self._look()
        return self._fit

    def note(self, error: Error) -> None:
        """Keeps reads away for some seconds, unless the query failed by itself or for what the replica replays."""
        if isinstance(error, OperationalError | InterfaceError) and sqlstate(error) not in (SERIALIZATION, DEADLOCK):
            self._next_look = self.clock() + TRY_AGAIN
            self._judge(" ".join(str(error).split()) or type(error).__name__)

    def _look(self) -> None:
        now = self.clock()
        self._next_look = now + LOOK_EVERY  # until then the other threads go by what was last seen
        self._written.append((now, self.ask(PRIMARY, WRITTEN)))
        while self._written[0][0] < now - self.max_lag:
            self._written.popleft()
        try:
            replayed = self.ask(REPLICA, REPLAYED)
        except (OperationalError, InterfaceError) as error:
            self.note(error)
            return
        if replayed < 0:
            self._judge("it is no replica (any more)")
        elif replayed >= self._written[0][1]:
            self._judge("")
        elif len(self._written) > 1:
            self._judge("it is too far behind")
        else:  # after a while without a look nobody knows where the primary was a moment ago
            self._fit = False

    def _judge(self, unfit: str) -> None:
        """Sets whether it is fit, by the reason why not; a change is logged."""
        self._fit = not unfit
        if self._fit and not self._logged:
            logger.info("Reads go to the replica")
        elif unfit and self._logged is not False:
            logger.warning("Reads go to the primary, not to the replica: %s", unfit)
        self._logged = self._fit


@cache
def the_replica() -> Replica | None:
    """The one of REPLICA_URL, if it is set."""
    return Replica(max_lag=settings.REPLICA_MAX_LAG) if REPLICA in settings.DATABASES else None
