"""Clients that drip their bytes, or do not read, hold no worker: the real gunicorn, as it is configured."""

import gzip
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection, transaction

from pieces.models import Project
from ractory.tests.live import sync_bytes, until
from ractory.tests.served import Served, served
from tenants.models import Company
from tenants.tests.factories import CompanyFactory, issue_key

MANY = 120  # times as many as there are threads
LOGIN = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALVES = {
    "silent": b"",
    "head": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: b",
    "body": LOGIN + b'Content-Length: 60000\r\n\r\n{"email": "',
    "chunks": LOGIN + b'Transfer-Encoding: chunked\r\n\r\n9\r\n{"email"',
}


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "log", WEB_CONCURRENCY="1") as made:
        yield made


@pytest.fixture
def company(server: Served) -> Company:
    return CompanyFactory.create()


def connected(server: Served, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))


@pytest.mark.parametrize("half", HALVES)
def test_others_are_answered_while_many_send_half_a_request(server: Served, company: Company, half: str) -> None:
    key = issue_key(company)
    with ExitStack() as stack:
        slow = [connected(server, stack) for _ in range(MANY)]
        for byte in (HALVES[half], b"", b"a"):
            for client in slow:
                client.sendall(byte)
            assert server.call("GET", "/health").status == 200
            assert server.call("GET", "/api/v1/pieces", X_API_Key=key).status == 200


def test_others_are_answered_while_many_do_not_read(server: Served) -> None:
    script = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    request = f"GET {script} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        slow = []
        for _ in range(8):  # each has an answer of more than a megabyte to read
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(request * 2)
            slow.append(client)
        for _ in range(3):
            assert server.call("GET", "/health").status == 200
        assert slow[0].recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_that_comes_byte_by_byte_is_read_whole(server: Served, company: Company) -> None:
    body = gzip.compress(b'{"projects": [{"code": "a", "company_guid": "%s"}]}' % str(company.guid).encode())
    sent = sync_bytes("projects", issue_key(company), body, "Content-Encoding: gzip")
    with ExitStack() as stack:
        client = connected(server, stack)
        for byte in sent:
            client.sendall(bytes([byte]))
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert Project.across_companies.get().code == "a"


def test_a_body_that_is_larger_than_memory_is_meant_for_waits_in_a_file(server: Served, company: Company) -> None:
    body = {"projects": [], "unknown": "x" * 3_000_000}
    for _ in range(2):
        answer = server.call("POST", "/api/v1/sync/projects", body, X_API_Key=issue_key(company))
        assert (answer.status, answer.headers["X-Ignored-Fields"]) == (200, "unknown")


def test_requests_that_come_at_once_are_answered_in_turn(server: Served) -> None:
    with ExitStack() as stack:
        client = connected(server, stack)
        first = LOGIN + b"Content-Length: 2\r\n\r\n{}"
        last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall(first * 3 + last)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 422") == 3
    assert answer.index(b"HTTP/1.1 200 OK") > answer.rindex(b"HTTP/1.1 422")


def test_a_client_that_asks_first_is_told_to_go_on_or_why_not(server: Served) -> None:
    asking = LOGIN + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as stack:
        client = connected(server, stack)
        client.sendall(asking % 2)
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(12) == b"HTTP/1.1 422"
        client = connected(server, stack)
        client.sendall(asking % 2**40)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"Connection: close" in answer


def test_when_there_are_too_many_connections_the_oldest_that_waits_makes_room(
    transactional_db: None, tmp_path: Path
) -> None:
    with served(tmp_path / "log", "--worker-connections", "20", WEB_CONCURRENCY="1") as server, ExitStack() as stack:
        slow = [connected(server, stack) for _ in range(60)]
        for client in slow:
            client.sendall(b"GET /")
        assert server.call("GET", "/health").status == 200
        assert slow[0].recv(1) == b""


def test_a_request_that_takes_too_long_ends_its_worker(server: Served, company: Company, tmp_path: Path) -> None:
    """`timeout` goes by requests, not by the main loop, which is never busy."""
    body = b'{"projects": [{"code": "a", "company_guid": "%s"}]}' % str(company.guid).encode()
    sent = sync_bytes("projects", issue_key(company), body)
    with served(tmp_path / "other", "--timeout", "1", WEB_CONCURRENCY="1") as impatient, ExitStack() as stack:
        before = impatient.workers()
        stack.enter_context(transaction.atomic())  # on SQLite this is the one write lock
        if connection.vendor == "postgresql":
            connection.cursor().execute("LOCK TABLE pieces_project")
        client = connected(impatient, stack)
        client.sendall(sent)
        until(lambda: impatient.workers() not in (before, []))
        assert client.recv(1) == b""
