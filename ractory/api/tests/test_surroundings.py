"""What `manage.py check --deploy` and a server's start warn of: clocks, connections, file systems."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from ractory.api import surroundings
from ractory.api.surroundings import check_surroundings

pytestmark = pytest.mark.django_db


def ids() -> set[str | None]:
    return {found.id for found in check_surroundings()}


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine that runs the tests."""
    monkeypatch.setattr(surroundings, "FULL", 1.0)


def test_where_all_is_well_nothing_is_said() -> None:
    assert ids() == set()


def test_a_full_file_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "FULL", 0.0)
    found = check_surroundings()
    assert {warning.id for warning in found} == {"ractory.W003"}
    assert all("% full" in warning.msg for warning in found)


@pytest.mark.postgresql
@pytest.mark.parametrize(("offset", "said"), [(10, "10 seconds behind"), (-10, "10 seconds ahead of")])
def test_a_clock_that_is_off_is_named(monkeypatch: pytest.MonkeyPatch, offset: int, said: str) -> None:
    real: Callable[[], Any] = time.time
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    [found] = check_surroundings()
    assert found.id == "ractory.W001"
    assert said in found.msg


@pytest.mark.postgresql
def test_more_threads_than_connections_are_named() -> None:
    with override_settings(WORKERS=60):
        [found] = check_surroundings()
    assert found.id == "ractory.W002"
    assert "this host alone may need 123" in found.msg
