"""What clients do to their connections ends no worker, and costs it neither memory nor disk: the real gunicorn."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from ractory.tests.served import Served, served

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
SYNC = b"POST /api/v1/sync/pieces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BUNDLE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all: nothing here ends it, and nothing of what comes is written anywhere."""
    with served(tmp_path_factory.mktemp("server") / "log", WEB_CONCURRENCY="1") as made:
        yield made


def connect(server: Served, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))


def read_all(client: socket.socket) -> bytes:
    with suppress(ConnectionResetError):
        return b"".join(iter(lambda: client.recv(65536), b""))
    return b""


def test_a_client_that_asks_first_and_then_breaks_off_ends_no_worker(server: Served) -> None:
    before = server.workers()
    for _ in range(100):
        with ExitStack() as stack:
            client = connect(server, stack)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
            client.sendall(HEALTH + SYNC + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            client.recv(1)
    assert server.call("GET", "/health").status == 200
    assert server.workers() == before


def test_a_client_that_asks_first_is_told_to_go_on_and_gets_its_answer(server: Served) -> None:
    with ExitStack() as stack:
        client = connect(server, stack)
        client.sendall(SYNC + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}" + HEALTH)
        answers = client.recv(17, socket.MSG_WAITALL)
        assert answers == b"HTTP/1.1 401 Unau"
        client.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1 200 OK" in read_all(client)


def test_bodies_of_who_is_not_known_are_kept_nowhere(server: Served) -> None:
    """Half a body each: more than any buffer of the system takes, so that whoever keeps it has begun to."""
    [worker] = server.workers()
    before, used = files(worker), memory(worker)
    with ExitStack() as stack:
        for _ in range(10):
            client = connect(server, stack)
            client.settimeout(0.2)
            with suppress(TimeoutError):
                client.sendall(SYNC + b"Content-Length: 32000000\r\n\r\n" + b" " * 16_000_000)
        assert files(worker) == before
        assert memory(worker) - used < 50 * 2**20


def files(pid: int) -> set[str]:
    """Those that it has open: sockets and the database's not among them."""
    opened = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    return {name for name in opened if name.startswith("/") and "db" not in Path(name).name}


def memory(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health?" + b"x" * 20_000,
        b"GET /health HTTP/1.1\r\nX-A: " + b"x" * 540_000,
        b"GET /health HTTP/1.1\r\n" + b"X-A: bc\r\n" * 60_000,
    ],
    ids=["line", "field", "fields"],
)
def test_a_head_without_an_end_is_refused_before_it_is_large(server: Served, head: bytes) -> None:
    with ExitStack() as stack:
        client = connect(server, stack)
        client.sendall(head)
        assert client.recv(10, socket.MSG_WAITALL) == b"HTTP/1.1 4"


def test_requests_that_come_at_once_are_answered_in_turn(server: Served) -> None:
    with ExitStack() as stack:
        client = connect(server, stack)
        login = SYNC.replace(b"sync/pieces", b"auth/login") + b"Content-Length: 2\r\n\r\n{}"
        client.sendall(login * 3 + HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = read_all(client)
    assert answer.count(b"HTTP/1.1 422") == 3
    assert answer.index(b"HTTP/1.1 200 OK") > answer.rindex(b"HTTP/1.1 422")


def test_a_client_that_does_not_read_ends_no_worker_and_gets_all_of_it(transactional_db: None, tmp_path: Path) -> None:
    with served(tmp_path / "log", "--timeout", "4", WEB_CONCURRENCY="1") as server, ExitStack() as stack:
        before, whole = server.workers(), len(server.call("GET", BUNDLE).body)
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {BUNDLE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        time.sleep(6)  # longer than a worker lives without a sign of life
        assert len(read_all(client).partition(b"\r\n\r\n")[2]) == whole
        assert server.workers() == before
