"""`/health` and `/api/v1/health`, with a database and without."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from django.db import connection, connections

from ractory import __version__
from ractory.api.tests.client import Api

OK = {"status": "ok", "version": __version__}


def without_database(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Any:
    """What `work` returns in a thread whose connection, a new one, leads nowhere."""
    nowhere = {"HOST": "/nonexistent", "NAME": "/nonexistent/database"}
    monkeypatch.setitem(connections.settings, "default", connections.settings["default"] | nowhere)
    results: list[Any] = []
    thread = Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_the_liveness_probe_needs_no_database(api: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    answer = without_database(monkeypatch, lambda: api.get(path))
    assert (answer.status_code, answer.json()) == (200, OK)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/health/"])
def test_the_health_probe_asks_the_database(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()) == (200, OK)


@pytest.mark.django_db
def test_the_health_probe_is_a_503_when_the_database_is_down(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = without_database(monkeypatch, lambda: api.get("/api/v1/health"))
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    with connection.cursor() as cursor:  # the outage was the thread's only
        cursor.execute("SELECT 1")


@pytest.mark.django_db
def test_wrong_credentials_do_not_matter(api: Api) -> None:
    api.with_key("rfk_none")
    assert [api.get(path).status_code for path in ("/health", "/api/v1/health")] == [200, 200]
    assert api.post("/health").status_code == 405
