"""How much a caller, and a company, may ask for in a window of time: 429 above it (contract, "Conventions"). The
counters are rows: all workers of all hosts count together (docs/decisions/0012-throttling.md)."""

import logging
import math
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from ractory.api.errors import ConflictRetry
from ractory.api.retry import in_transaction
from tenants.caller import Caller

logger = logging.getLogger(__name__)

Rate = tuple[int, int]  # how many in how many seconds

UPSERT = """
    INSERT INTO tenants_counter AS stored (name, used, until) VALUES (%(name)s, %(amount)s, %(until)s)
    ON CONFLICT (name) DO UPDATE SET
        used = CASE WHEN stored.until <= %(now)s THEN 0 ELSE stored.used END + excluded.used,
        until = CASE WHEN stored.until <= %(now)s THEN excluded.until ELSE stored.until END
    RETURNING used - %(amount)s, until"""


def charge(counter: str, amount: int, rate: Rate | None, said: str, whose: str = "") -> None:
    """Puts so much more on a counter that may take `rate` in a window, which begins with the first charge; without a
    rate it is not counted. Raises Throttled, of `said` ("requests") and `whose` they are, with the seconds until the
    window ends, if the limit was used up before: so no batch is too large to get through. It is committed at once, so
    that nobody waits for a counter."""
    if rate is None:
        return
    (limit, seconds), now = rate, int(timezone.now().timestamp() * 1000)
    values: dict[str, Any] = {"name": counter, "amount": amount, "until": now + seconds * 1000, "now": now}

    def add() -> Any:
        return connection.cursor().execute(UPSERT, values).fetchone()

    already, until = add() if connection.vendor == "postgresql" else in_transaction(add)
    if already >= limit:
        detail = f"Too many {said}{whose}: {limit} in {seconds} seconds are allowed."
        raise Throttled(max(1, math.ceil((until - now) / 1000)), detail, said)


def _charge_caller(caller: Caller, what: str, amount: int, own: Rate | None, company: Rate | None) -> None:
    """The caller's own counter first: what it is refused is not put on its company's."""
    charge(f"{what} {caller.guid}", amount, own, what, " of this API key or user")
    if caller.company:
        charge(f"{what} {caller.company}", amount, company, what, " of this company")


class RequestThrottle(BaseThrottle):
    """Counts a caller's requests, those too that they may not make (TenantView: before permissions)."""

    def allow_request(self, request: Request, view: Any) -> bool:
        if isinstance(request.user, Caller):
            try:
                rates = settings.THROTTLE_REQUESTS, settings.THROTTLE_REQUESTS_COMPANY
                _charge_caller(request.user, "requests", 1, *rates)
            except (OperationalError, ConflictRetry) as error:  # busy, or away: no reason to refuse what may still work
                logger.warning("A request was not counted: %s", error)
        return True


def charge_rows(caller: Caller, amount: int) -> None:
    """Counts the items of a sync's body, before it is known whether they will be written. Raises Throttled."""
    _charge_caller(caller, "rows", amount, settings.THROTTLE_ROWS, settings.THROTTLE_ROWS_COMPANY)
