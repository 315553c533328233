"""Probes on a port of their own are answered while every thread waits; and a drain, on the real server."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, transaction

from ractory import __version__
from ractory.tests.live import call, until
from ractory.tests.served import Served, free_port, served
from tenants.models import Company

OK = {"status": "ok", "version": __version__}


def ready(port: int) -> tuple[int, str]:
    answer = call(port, "GET", "/api/v1/health")
    return answer.status, answer.json.get("detail", "")


@pytest.mark.django_db(transaction=True)
def test_both_probes_are_answered_while_all_threads_wait_for_a_lock(tmp_path: Path, company: Company, key: str) -> None:
    port, body = free_port(), {"projects": [{"code": "a", "company_guid": str(company.guid)}]}

    def push(server: Served) -> int:
        return server.call("POST", "/api/v1/sync/projects", body, X_API_Key=key).status

    with served(tmp_path / "log", WEB_CONCURRENCY="1", HEALTH_PORT=str(port)) as server, ThreadPoolExecutor(10) as pool:
        assert push(server) == 200
        with transaction.atomic():  # on SQLite this is the one write lock
            if connection.vendor == "postgresql":
                connection.cursor().execute("LOCK TABLE pieces_project")
            waiting = [pool.submit(push, server) for _ in range(10)]
            time.sleep(1)
            started = time.monotonic()
            for _ in range(3):
                assert (call(port, "GET", "/health").status, call(port, "GET", "/health").json) == (200, OK)
                assert (call(port, "GET", "/api/v1/health/").json, call(port, "HEAD", "/health").body) == (OK, b"")
            assert time.monotonic() - started < 2
            assert not any(sent.done() for sent in waiting)
            assert call(port, "GET", "/api/v1/projects").status == 404
        assert [sent.result() for sent in waiting] == [200] * 10


@pytest.mark.django_db(transaction=True)
def test_a_server_that_drains_is_not_ready_and_serves_until_it_stops(tmp_path: Path, key: str) -> None:
    port = free_port()
    with served(tmp_path / "log", HEALTH_PORT=str(port), DRAIN_SECONDS="3") as server:
        assert ready(port) == ready(server.port) == (200, "")
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: ready(server.port) == ready(port) == (503, "The server is about to stop."))
        assert server.call("GET", "/api/v1/projects", X_API_Key=key).status == 200
        assert server.process.wait(timeout=60) == 0
        assert 3 <= time.monotonic() - told < 10


@pytest.mark.django_db(transaction=True)
def test_a_second_sigterm_does_not_wait_for_the_drain(tmp_path: Path) -> None:
    with served(tmp_path / "log", HEALTH_PORT=str(free_port()), DRAIN_SECONDS="600") as server:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: ready(server.port)[0] == 503)
        assert server.stop() == 0
