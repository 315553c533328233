"""Limits under load: real threads and real processes on a real PostgreSQL."""

import threading
from collections import Counter as Tally
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import Settings
from rest_framework.exceptions import Throttled

from ractory.api.tests.client import Api
from tenants.tests.factories import UserFactory
from tenants.throttling import charge

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

    def work(number: int) -> None:
        for _ in range(50):
            try:
                charge(f"caller {number}", 1, (40, 60), "things")
                charge("company", 1, (200, 60), "things")
            except Throttled:
                continue
            allowed[number] += 1

    at_once(8, work)
    assert sum(allowed.values()) == 200
    assert max(allowed.values()) <= 40


def test_logins_at_once_are_no_more_than_are_allowed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.hashing.WAIT", 30)  # so that each of them is counted
    settings.THROTTLE_LOGINS, settings.THROTTLE_LOGINS_ADDRESS = (5, 900), (100, 900)
    user = UserFactory.create()
    answers: Tally[int] = Tally()

    def work(number: int) -> None:
        for _ in range(4):
            given = {"email": user.email, "password": f"guess {number}"}
            answers[Api().post("/api/v1/auth/login", given).status_code] += 1

    at_once(6, work)
    assert answers == {401: 5, 429: 19}
