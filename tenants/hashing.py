"""Hashing passwords, one at a time in a process: a hash takes most of a second of a core, on purpose, and a few at once
would hold every thread and every core."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework.exceptions import Throttled

# Seconds. A thread that waits serves nobody: under 16 clients that logged in without end others waited for up to 1.4 s
# with 0.1 here, and for 80 ms with 0.001.
WAIT = 0.005
_turn = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Raises Throttled if another thread has the turn, and keeps it."""
    if not _turn.acquire(timeout=WAIT):
        raise Throttled(1, "Too many logins at once.", "logins at once")
    try:
        yield
    finally:
        _turn.release()
