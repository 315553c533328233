"""Bodies as they come over a real connection, through the server of production."""

import gzip
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Send = Callable[[bytes], tuple[int, str]]

TOKEN = b'{"refresh_token": "a.b.c"}'  # what has been read is a 401; what has not, a 400


@pytest.fixture(scope="module")
def send(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    """Sends bytes to a gunicorn that serves this site, and gives the status and the rest of its answer."""
    place = tmp_path_factory.mktemp("gunicorn") / "socket"
    command = [sys.executable, "-m", "gunicorn", "ractory.wsgi", "--bind", f"unix:{place}", "--log-level", "critical"]
    environment = {**os.environ, "DATABASE_URL": "sqlite://:memory:", "LOG_LEVEL": "CRITICAL"}  # nothing needs one
    with subprocess.Popen(command, env=environment) as server:  # noqa: S603  # our own words
        try:
            wait_for(place, server)
            yield lambda request: converse(place, request)
        finally:
            server.terminate()


def wait_for(place: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "gunicorn did not start"
        if place.exists():
            return
        time.sleep(0.1)
    pytest.fail("gunicorn did not listen within 30 s")


def converse(place: Path, request: bytes) -> tuple[int, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(place))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    status = re.match(rb"HTTP/1.1 (\d{3}) ", answer)
    assert status, answer
    return int(status[1]), answer.decode()


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /api/v1/auth/refresh HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode() + body


def in_chunks(body: bytes, size: int = 7) -> bytes:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


CHUNKED = "Transfer-Encoding: chunked"
PACKED = "Content-Encoding: gzip"


def test_a_body_is_read_whether_its_length_is_known_or_not(send: Send) -> None:
    packed = gzip.compress(TOKEN)
    for request in (
        post(TOKEN, f"Content-Length: {len(TOKEN)}"),
        post(in_chunks(TOKEN), CHUNKED),
        post(packed, f"Content-Length: {len(packed)}", PACKED),
        post(in_chunks(packed), CHUNKED, PACKED),
    ):
        status, answer = send(request)
        assert status == 401
        assert '{"detail":"The token is invalid or expired."}' in answer


def test_no_header_changes_the_path(send: Send) -> None:
    """Whoever is on the other end of a local socket counts as a proxy, to gunicorn; what he lets pass is a client's."""
    for header in ("SCRIPT_NAME: /elsewhere", "SCRIPT_NAME: /api", "PATH_INFO: /health"):
        assert send(post(TOKEN, f"Content-Length: {len(TOKEN)}", header))[0] == 401


def test_a_body_without_a_length_and_without_chunks_is_empty(send: Send) -> None:
    status, answer = send(post(b""))
    assert status == 400
    assert "The body is not JSON" in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"xyz\r\n", CHUNKED),
        post(b"-1\r\n", CHUNKED),
        post(b"5\r\nabcdefgh\r\n0\r\n\r\n", CHUNKED),
        post(in_chunks(TOKEN)[:12], CHUNKED),
        post(in_chunks(TOKEN)[:-2] + b"Bad Trailer\r\n\r\n", CHUNKED),
        post(TOKEN[:5], f"Content-Length: {len(TOKEN)}"),
        post(TOKEN, "Content-Length: -1"),
        post(TOKEN, "Content-Length: " + "9" * 5000),
        post(TOKEN, f"Content-Length: {len(TOKEN)}", CHUNKED),
        post(in_chunks(gzip.compress(TOKEN)[:-9]), CHUNKED, PACKED),
    ],
)
def test_a_broken_body_is_a_4xx(send: Send, request_bytes: bytes) -> None:
    status, _ = send(request_bytes)
    assert 400 <= status < 500


def test_a_body_without_an_end_is_a_413(send: Send) -> None:
    status, answer = send(post(in_chunks(b" " * 70_000, 8192), CHUNKED))
    assert status == 413
    assert '{"detail":"The body is larger than 65536 bytes."}' in answer


LARGE, SIZE = b" " * 20_000_000, "Content-Length: 20000000"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (post(LARGE, SIZE), 413),
        (post(LARGE, SIZE).replace(b"auth/refresh", b"auth/login"), 413),
        (post(LARGE, SIZE, "Expect: 100-continue"), 413),
        (post(in_chunks(LARGE, 100_000), CHUNKED), 413),
        (post(LARGE, SIZE).replace(b"application/json", b"text/plain"), 415),
        (post(LARGE, SIZE).replace(b"POST", b"PUT", 1), 405),
        (post(LARGE, SIZE).replace(b"auth/refresh", b"auth/nope"), 404),
        (post(LARGE * 2, "Content-Length: 40000000").replace(b"auth/refresh", b"sync/pieces"), 401),
    ],
    ids=["length", "login", "expect", "chunks", "text", "put", "unknown", "anonymous"],
)
def test_a_client_that_is_still_sending_when_it_is_refused_gets_the_answer(
    send: Send, request_bytes: bytes, expected: int
) -> None:
    """Not a connection that breaks: many clients, and proxies, write a whole request before they read."""
    status, answer = send(request_bytes)
    assert status == expected
    assert '{"detail":' in answer


@pytest.mark.parametrize("query", ["", "limit=1&code=%ff", "&".join(["limit=1"] * 1001)])
@pytest.mark.parametrize(
    "content_type",
    [
        *(f"application/json; charset={name}" for name in ("base64", "rot13", "undefined", "punycode", "idna", "none")),
        "application/json; charset*=none'x'%ff",
        "multipart/form-data; boundary=x; charset=hex",
        f"application/json; a*{'9' * 4400}=x",
    ],
)
def test_a_content_type_that_can_not_be_read_is_a_415(send: Send, content_type: str, query: str) -> None:
    """Where a body is read; Django's own request fails on each of them, before any middleware."""
    request = post(b"{}", "Content-Length: 2").replace(b"application/json", content_type.encode(), 1)
    status, answer = send(request.replace(b"/refresh", f"/refresh?{query}".encode(), 1))
    assert (status, "X-Request-ID: " in answer) == (415, True)
    assert '{"detail":"Unsupported content type' in answer
    status, _ = send(request.replace(b"POST /api/v1/auth/refresh", f"GET /health?{query}".encode(), 1))
    assert status == 200


def test_more_parameters_than_are_read_stop_nobody_who_reads_none(send: Send) -> None:
    query = "&".join(["limit=1"] * 1001).encode()
    for content_type in (b"application/json", b"application/json; charset=utf-8"):
        request = post(TOKEN, f"Content-Length: {len(TOKEN)}").replace(b"application/json", content_type, 1)
        assert send(request.replace(b"/refresh", b"/refresh?" + query, 1))[0] == 401


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /api/v1/pieces?search=\u00e4 HTTP/1.1\r\nHost: a\r\n", 400),
        (f"{'X' * 5000} / HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\nrfk_\u00e4: 1\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\nX: \x01\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n", 417),
        ("POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: tea\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\n" + "X: 1\r\n" * 70, 431),
        (f"GET /{'x' * 9000} HTTP/1.1\r\nHost: a\r\n", 414),
    ],
)
def test_what_gunicorn_itself_refuses_has_the_form_of_the_api_and_repeats_nothing(
    send: Send, head: str, status: int
) -> None:
    answered, rest = send(f"{head}\r\n".encode())
    assert answered == status
    assert "application/json" in rest
    assert "X-Request-ID: " in rest
    assert '{"detail": "' in rest
    assert len(rest) < 300
