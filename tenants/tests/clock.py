"""A clock that a test sets, in place of the one that limits go by."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone


class Clock:
    """What the server takes for the time."""

    def __init__(self) -> None:
        self.time = timezone.now()

    def now(self) -> datetime:
        return self.time

    def passes(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tenants.throttling.timezone.now", clock.now)
    return clock
