"""One transaction, tried again when it lost against another one."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, transaction

from ractory.api.errors import ConflictRetry

ATTEMPTS = 6
# PostgreSQL, appendix A
DEADLOCK, SERIALIZATION, UNIQUE, CANCELLED, LOCK_NOT_AVAILABLE = "40P01", "40001", "23505", "57014", "55P03"

P = ParamSpec("P")
T = TypeVar("T")

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


@contextmanager
def rehearsal() -> Iterator[None]:
    """All that is done within is rolled back at its end, what `in_transaction` did too: for dry runs of long work."""
    with transaction.atomic(durable=True):
        token = _rehearsing.set(True)
        try:
            yield
        finally:
            _rehearsing.reset(token)
            transaction.set_rollback(True)


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code for what Django raised; None if it has none."""
    return getattr(error.__cause__, "sqlstate", None)


def in_transaction(work: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of `work` in a transaction of its own; RuntimeError within another one, whose locks would be held.
    After a deadlock, a serialization failure, or for a unique value that someone else has just taken, it runs again, up
    to six times; then it is a 409, as for a SQLite file that stays locked, where the driver has done the waiting."""
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic(durable=not _rehearsing.get()):
                return work()
        except (OperationalError, IntegrityError) as error:
            if "database is locked" in str(error):
                break
            if sqlstate(error) not in (DEADLOCK, SERIALIZATION, UNIQUE):
                raise
            sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # jitter, not a secret
    raise ConflictRetry


def transactional(function: Callable[P, T]) -> Callable[P, T]:
    """The function as `in_transaction` runs it."""

    @wraps(function)
    def wrapper(*args: P.args, **options: P.kwargs) -> T:
        return in_transaction(partial(function, *args, **options))

    return wrapper
