"""How much a caller, and a company, may ask for in a window of time: 429 above it (contract, "Conventions").

The counters are rows of the database, so that all workers of all hosts count together
(docs/decisions/0012-throttling.md).
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from ractory.api.errors import ConflictRetry
from ractory.api.retry import in_transaction
from tenants.caller import Caller
from tenants.models import Counter

if TYPE_CHECKING:  # DRF's views import this module by name, from the settings
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

Rate = tuple[int, int]  # how many in how many seconds


@dataclass(frozen=True, slots=True)
class Charge:
    """So much more on a counter that may take `rate` in a window, which begins with the first charge."""

    counter: str
    amount: int
    rate: Rate
    said: str  # what is refused, to a person and as the refusal's code: "requests"
    whose: str = ""  # " of this company"


def charge(charges: Sequence[Charge], *, now: datetime) -> None:
    """Puts each charge on its counter, in this order, up to the first that is refused.

    A charge is refused if the limit was used up before it: exactly as many requests get through as are allowed, and
    no batch is too large to get through. Raises Throttled with the seconds until the window ends. This is a
    transaction of its own, so that nobody waits for a counter for longer than it takes.
    """
    if not charges:
        return
    milliseconds = int(now.timestamp() * 1000)
    if connection.vendor == "postgresql":
        refused = _charge_at_once(charges, milliseconds)
    else:
        refused = in_transaction(lambda: _charge_in_turn(charges, milliseconds))
    if refused is not None:
        number, until = refused
        said, whose = charges[number].said, charges[number].whose
        limit, seconds = charges[number].rate
        wait = max(1, math.ceil((until - milliseconds) / 1000))
        raise Throttled(wait, f"Too many {said}{whose}: {limit} in {seconds} seconds are allowed.", said)


COUNT = f"""
    INSERT INTO {Counter._meta.db_table} AS stored (name, used, until)
    SELECT CAST(%(counter{{n}})s AS varchar), CAST(%(amount{{n}})s AS bigint), CAST(%(until{{n}})s AS bigint) {{given}}
    ON CONFLICT (name) DO UPDATE SET
        used = CASE WHEN stored.until <= %(now)s THEN 0 ELSE stored.used END + excluded.used,
        until = CASE WHEN stored.until <= %(now)s THEN excluded.until ELSE stored.until END
    RETURNING used - %(amount{{n}})s AS already, until"""  # the table's name is ours


def _parameters(charges: Sequence[Charge], now: int) -> dict[str, Any]:
    found: dict[str, Any] = {"now": now}
    for n, one in enumerate(charges):
        limit, seconds = one.rate
        found |= {f"counter{n}": one.counter, f"amount{n}": one.amount}
        found |= {f"until{n}": now + seconds * 1000, f"limit{n}": limit}
    return found


def _charge_at_once(charges: Sequence[Charge], now: int) -> tuple[int, int] | None:
    """The number of the refused charge and its window's end; None if all is well. One statement."""
    numbers = range(len(charges))
    given = [f"FROM c{n - 1} WHERE already < %(limit{n - 1})s" if n else "" for n in numbers]
    counts = [f"c{n} AS ({COUNT.format(n=n, given=given[n])})" for n in numbers]
    refused = [f"SELECT {n}, until FROM c{n} WHERE already >= %(limit{n})s" for n in numbers]  # noqa: S608  # numbers of our own
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {', '.join(counts)} {' UNION ALL '.join(refused)}", _parameters(charges, now))
        found: tuple[int, int] | None = cursor.fetchone()
    return found


def _charge_in_turn(charges: Sequence[Charge], now: int) -> tuple[int, int] | None:
    """The same, a statement each, where one can't write twice."""
    parameters = _parameters(charges, now)
    with connection.cursor() as cursor:
        for n, one in enumerate(charges):
            cursor.execute(COUNT.format(n=n, given="WHERE true"), parameters)
            already, until = cursor.fetchone()
            if already >= one.rate[0]:
                return n, until
    return None


def _of(caller: Caller, what: str, amount: int, own: Rate | None, company: Rate | None) -> Iterator[Charge]:
    """The caller's own counter first: what it is refused is not put on its company's."""
    if own:
        yield Charge(f"{what} {caller.guid}", amount, own, what, " of this API key or user")
    if company and caller.company:
        yield Charge(f"{what} {caller.company}", amount, company, what, " of this company")


class RequestThrottle(BaseThrottle):
    """Counts a caller's requests, those too that they may not make (TenantView: before permissions)."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if isinstance(request.user, Caller):
            rates = settings.THROTTLE_REQUESTS, settings.THROTTLE_REQUESTS_COMPANY
            try:
                charge([*_of(request.user, "requests", 1, *rates)], now=timezone.now())
            except (OperationalError, ConflictRetry) as error:  # busy, or away: no reason to refuse what may still work
                logger.warning("A request was not counted: %s", error)
        return True


def charge_rows(caller: Caller, amount: int) -> None:
    """Counts the items of a sync's body, before it is known whether they will be written. Raises Throttled."""
    rates = settings.THROTTLE_ROWS, settings.THROTTLE_ROWS_COMPANY
    charge([*_of(caller, "rows", amount, *rates)], now=timezone.now())
