"""Limits under load: real threads and real processes on a real PostgreSQL."""

import threading
from collections import Counter as Tally
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import Throttled

from tenants.throttling import Charge, charge

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


def at_once(count: int, work: Any) -> None:
    """Runs `work(number)` in threads that start together."""
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_counters_that_many_charge_at_once_are_exact() -> None:
    """Eight callers of one company, each allowed 40, together 200: nobody waits for ever, nothing is lost."""
    allowed: Tally[int] = Tally()
    now = timezone.now()

    def work(number: int) -> None:
        charges = [Charge(f"caller {number}", 1, (40, 60), "things"), Charge("company", 1, (200, 60), "things")]
        for _ in range(50):
            try:
                charge(charges, now=now)
            except Throttled:
                continue
            allowed[number] += 1

    at_once(8, work)
    assert sum(allowed.values()) == 200
    assert max(allowed.values()) <= 40
